//! Kernel filters on packet sockets, so that a flood of other frames costs us nothing.

use socket2::SockFilter;

/// Codes of `linux/bpf_common.h`: loads of a word, a half and a byte, loads relative to the end of the IP header,
/// tests, and the return.
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD_BEHIND: u16 = 0x40;
const LOAD_HALF_BEHIND: u16 = 0x48;
const HEADER_LENGTH: u16 = 0xb1;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Maximum number of bytes per frame.
pub(crate) const LONGEST: usize = 2048;

/// A program of loads, each with a test. It accepts a frame if all tests agree.
fn all(steps: &[(u16, u32, Test)]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    let total: usize = steps.iter().map(|(_, _, test)| test.instructions()).sum();
    for (load, offset, test) in steps {
        program.push(SockFilter::new(*load, 0, 0, *offset));
        // Distance of the refusal, from the instruction after the test.
        let refusal =
            u8::try_from((total + 1).saturating_sub(program.len() + 1)).unwrap_or(u8::MAX);
        match test {
            Test::Equal(number) => {
                program.push(SockFilter::new(IF_EQUAL, 0, refusal, *number));
            }
            Test::NoBit(bits) => {
                program.push(SockFilter::new(IF_ANY_BIT, refusal, 0, *bits));
            }
            Test::None => {}
        }
    }
    let longest = u32::try_from(LONGEST).unwrap_or(u32::MAX);
    program.push(SockFilter::new(RETURN, 0, 0, longest));
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}

enum Test {
    Equal(u32),
    NoBit(u32),
    None,
}

impl Test {
    fn instructions(&self) -> usize {
        match self {
            Self::None => 1,
            Self::Equal(_) | Self::NoBit(_) => 2,
        }
    }
}

/// Whole IPv4 datagrams to the DHCP client port, with a message of the exchange `xid`.
pub(crate) fn of_exchange(xid: u32) -> Vec<SockFilter> {
    all(&[
        (LOAD_HALF, 12, Test::Equal(0x0800)),
        (LOAD_BYTE, 23, Test::Equal(17)),
        (LOAD_HALF, 20, Test::NoBit(0x3fff)),
        (HEADER_LENGTH, 14, Test::None),
        (LOAD_HALF_BEHIND, 14 + 2, Test::Equal(68)),
        (LOAD_WORD_BEHIND, 14 + 8 + 4, Test::Equal(xid)),
    ])
}

/// Router advertisements: `ICMPv6` type 134, hop limit 255 (not forwarded).
pub(crate) fn of_advertisements() -> Vec<SockFilter> {
    all(&[
        (LOAD_HALF, 12, Test::Equal(0x86dd)),
        (LOAD_BYTE, 20, Test::Equal(58)),
        (LOAD_BYTE, 21, Test::Equal(255)),
        (LOAD_BYTE, 54, Test::Equal(134)),
    ])
}
