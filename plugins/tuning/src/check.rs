//! CHECK: sysctls and the link are as they were configured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use linkspan_attach::wishes::Wishes;
use linkspan_attach::{Side, kernel};
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};

use linkspan_attach::tuned::Tuned;

/// Checks that each file has the written text, or the kernel's form of it at ADD. A write-only file is skipped.
pub(crate) fn sysctls(
    sandbox: &Side,
    wishes: &Wishes,
    said: &BTreeMap<PathBuf, String>,
) -> Result<()> {
    if wishes.is_empty() {
        return Ok(());
    }
    let now: BTreeMap<_, _> = wishes.now(sandbox)?.into_iter().collect();
    for (path, wanted) in wishes.files() {
        let Some(value) = now.get(path) else { continue };
        let as_said = said.get(path).is_some_and(|said| is_same(said, value));
        if !as_said && !is_same(wanted, value) {
            return Err(differs(&path.display().to_string(), wanted, value));
        }
    }
    Ok(())
}

/// Checks that the link has each of the settings.
pub(crate) fn link(sandbox: &Side, ifname: &str, wanted: Tuned) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let missing = || {
        let text = format!("Cannot find container link {ifname}");
        Failure::new(ErrorCode::INTERNAL, text)
    };
    let link = sandbox.find(ifname)?.ok_or_else(missing)?;
    let now = link.settings().map_err(kernel)?.ok_or_else(missing)?;
    let now = Tuned::of(&now);
    if wanted.agreed(now) == wanted {
        return Ok(());
    }
    let mac = |tuned: Tuned| tuned.mac.map(|mac| MacAddr(mac).to_string());
    let of = |tuned: Tuned| {
        [
            ("Ethernet", mac(tuned)),
            ("Promiscuous mode", tuned.promisc.map(|on| on.to_string())),
            ("MTU", tuned.mtu.map(|mtu| mtu.to_string())),
            (
                "All multicast mode",
                tuned.allmulti.map(|on| on.to_string()),
            ),
            (
                "Transmit queue length",
                tuned.tx_q_len.map(|n| n.to_string()),
            ),
        ]
    };
    let pairs = of(wanted).into_iter().zip(of(now));
    let differing = pairs.filter_map(|((what, wanted), (_, now))| {
        let wanted = wanted.filter(|wanted| now.as_ref() != Some(wanted))?;
        Some(differs(
            &format!("{what} of {ifname}"),
            &wanted,
            &now.unwrap_or_default(),
        ))
    });
    differing.into_iter().next().map_or(Ok(()), Err)
}

fn differs(what: &str, wanted: &str, now: &str) -> Failure {
    let text =
        format!("Error: Tuning configured value of {what} is {wanted}, current value is {now}");
    Failure::new(ErrorCode::INTERNAL, text).hint("attach the container anew")
}

/// Whether both mean the same to the kernel, which separates by tabs and reads numbers in C's form.
pub(crate) fn is_same(wanted: &str, value: &str) -> bool {
    let (wanted, value) = (words(wanted), words(value));
    wanted == value
}

fn words(text: &str) -> Vec<String> {
    let form = |word: &str| number(word).map_or_else(|| word.to_owned(), |n| n.to_string());
    text.split_whitespace().map(form).collect()
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if word.len() > 1 && word.starts_with('0') => u64::from_str_radix(word, 8).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_form_is_the_same() {
        for (wanted, value) in [
            ("1", "1"),
            ("4096 87380  6291456\n", "4096\t87380\t6291456"),
            ("0x10", "16"),
            ("010", "8"),
            ("cubic", "cubic"),
        ] {
            assert!(is_same(wanted, value), "{wanted}");
        }
        for (wanted, value) in [("1", "0"), ("1 2", "1"), ("cubic", "reno"), ("", "0")] {
            assert!(!is_same(wanted, value), "{wanted}");
        }
    }
}
