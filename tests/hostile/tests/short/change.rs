//! Changes of inputs: some of bytes, and some of JSON tokens, so that the outcome is often still JSON.

use linkspan_harness::dice::Dice;

/// Replacements for tokens.
const WORDS: [&str; 22] = [
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "4294967296",
    "18446744073709551616",
    "{}",
    "[]",
    "[null]",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"1.1.0\"",
    "\"0.2.0\"",
    "\"10.0.0.0/0\"",
    "\"::ffff:1.2.3.4/128\"",
    "\"fd00::/127\"",
    "\"255.255.255.255\"",
    "\"a\\nb\"",
    "\"ipam\"",
    "\"prevResult\"",
];

/// One of the inputs, changed up to four times.
pub(crate) fn changed(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = dice.one_of(corpus).unwrap().clone();
    for _ in 0..=dice.below(4) {
        match dice.below(7) {
            0 => flip(&mut input, dice),
            1 => splice(&mut input, dice.one_of(corpus).unwrap(), dice),
            2 => cut(&mut input, dice),
            3 => repeat(&mut input, dice),
            _ => token(&mut input, dice),
        }
    }
    input
}

fn below(dice: &mut Dice, limit: usize) -> usize {
    usize::try_from(dice.below(limit.max(1) as u64)).unwrap()
}

/// A part of the input, of at most 32 bytes.
fn part(input: &[u8], dice: &mut Dice) -> std::ops::Range<usize> {
    let start = below(dice, input.len() + 1);
    start..(start + below(dice, 33)).min(input.len())
}

fn flip(input: &mut [u8], dice: &mut Dice) {
    let at = below(dice, input.len());
    let bit = 1 << below(dice, 8);
    if let Some(byte) = input.get_mut(at) {
        *byte ^= bit;
    }
}

fn splice(input: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let (to, from) = (part(input, dice), part(other, dice));
    input.splice(to, other[from].iter().copied());
}

fn cut(input: &mut Vec<u8>, dice: &mut Dice) {
    let part = part(input, dice);
    input.drain(part);
}

fn repeat(input: &mut Vec<u8>, dice: &mut Dice) {
    let part = part(input, dice);
    let again = input[part.clone()].to_vec();
    input.splice(part.end..part.end, again);
}

/// Another word for one of the tokens: a word of the list, or another token of the input.
fn token(input: &mut Vec<u8>, dice: &mut Dice) {
    let tokens = tokens(input);
    let Some(place) = dice.one_of(&tokens).cloned() else {
        return flip(input, dice);
    };
    let word = if dice.below(3) == 0 {
        input[dice.one_of(&tokens).unwrap().clone()].to_vec()
    } else {
        dice.one_of(&WORDS).unwrap().as_bytes().to_vec()
    };
    input.splice(place, word);
}

/// Strings, numbers and words.
fn tokens(input: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < input.len() {
        let start = at;
        at += 1;
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        if input[start] == b'"' {
            while at < input.len() && input[at] != b'"' {
                at += 1 + usize::from(input[at] == b'\\');
            }
            at = (at + 1).min(input.len());
        } else if inside(&input[start]) {
            at += input[at..].iter().take_while(|byte| inside(byte)).count();
        } else {
            continue;
        }
        found.push(start..at);
    }
    found
}
