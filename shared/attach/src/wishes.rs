//! Sysctls that a configuration names for a container.

use std::fmt;
use std::path::{Path, PathBuf};

use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::sysctl::Sysctls;
use crate::{Side, allow_list};

/// The key `sysctl` of a configuration: keys and values in order. Duplicate keys are kept.
#[derive(Debug, Clone, Default)]
pub struct Wanted(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Wanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of sysctls and their values")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Wanted, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry::<String, String>()? {
                    pairs.push(pair);
                }
                Ok(Wanted(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// A sysctl and its wanted value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    /// The key as written in the configuration.
    key: String,
    path: PathBuf,
    value: String,
}

/// A file and its content.
pub type Said = (PathBuf, String);

/// Sysctls of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes(Vec<Wish>);

impl Wishes {
    /// The sysctls of `wanted` and `over`; `over` wins where both name a file. `IFNAME` in a key stands for `ifname`.
    pub fn new(wanted: Wanted, over: Wanted, ifname: &str) -> Result<Self> {
        let Wanted(wanted) = wanted;
        let mut keys: Vec<_> = wanted.iter().map(|(key, _)| key).collect();
        keys.sort();
        if keys.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Failure::config("duplicated sysctl keys are not allowed")
                .hint("name each sysctl once"));
        }
        let wish = |(key, value): (String, String)| {
            let path = file_of(&key, ifname)?;
            Ok(Wish { key, path, value })
        };
        let over: Vec<Wish> = over.0.into_iter().map(wish).collect::<Result<_>>()?;
        let mut wishes: Vec<Wish> = wanted.into_iter().map(wish).collect::<Result<_>>()?;
        wishes.retain(|wish| over.iter().all(|over| over.path != wish.path));
        wishes.extend(over);
        // Sysctls of all interfaces come before a single interface's, which they would overwrite.
        wishes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(wishes))
    }

    /// The sysctls that an interface plugin writes before its interface is up. Each must belong to that interface, so
    /// that it goes with the interface, and be on the administrator's list.
    pub fn of_interface(wanted: &Wanted, ifname: &str) -> Result<Self> {
        let wishes = Self::new(wanted.clone(), Wanted::default(), ifname)?;
        let dirs = ["ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh"];
        let own = dirs.map(|dir| Path::new("/proc/sys/net").join(dir).join(ifname));
        let is_own = |wish: &&Wish| own.iter().any(|dir| wish.path.parent() == Some(dir));
        if let Some(other) = wishes.0.iter().find(|wish| !is_own(wish)) {
            let text = format!("sysctl {} is not one of the interface", other.key);
            return Err(Failure::config(text).hint(
                "name it net.ipv6.conf.IFNAME.KEY or the like, and the others in the plugin tuning",
            ));
        }
        wishes.permit()?;
        Ok(wishes)
    }

    /// Returns whether no sysctl is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files, each with its wanted value.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().map(|wish| (&*wish.path, &*wish.value))
    }

    /// Refuses a sysctl that the administrator does not allow.
    pub fn permit(&self) -> Result<()> {
        let keys: Vec<&str> = self.0.iter().map(|wish| &*wish.key).collect();
        allow_list::permit(&keys)
    }

    /// The current values, without write-only files.
    pub fn now(&self, side: &Side) -> Result<Vec<Said>> {
        side.sysctl(|sysctls| {
            let mut said = Vec::new();
            for wish in &self.0 {
                if sysctls
                    .legible(&wish.path)
                    .is_ok_and(|value| value.is_none())
                {
                    continue;
                }
                let value = sysctls.known(&wish.path)?.ok_or_else(|| missing(wish))?;
                said.push((wish.path.clone(), value));
            }
            Ok(said)
        })
    }

    /// Writes all, and returns the values as the kernel reads them back. Writes a value again if another one changed
    /// it.
    pub fn apply(&self, side: &Side) -> Result<Vec<Said>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        side.sysctl(|sysctls| {
            let mut said = Vec::new();
            for wish in &self.0 {
                let value = write(sysctls, wish)?;
                said.extend(value.map(|value| (wish, value)));
            }
            for (wish, value) in &said {
                if sysctls.get(&wish.path)? != *value {
                    sysctls.put(&wish.path, &wish.value)?;
                }
            }
            for (wish, value) in &said {
                let now = sysctls.get(&wish.path)?;
                if now != *value {
                    return Err(contradiction(wish, &now));
                }
            }
            let files = said
                .into_iter()
                .map(|(wish, value)| (wish.path.clone(), value));
            Ok(files.collect())
        })
    }
}

/// Writes the value and returns the kernel's form of it.
fn write(sysctls: &Sysctls, wish: &Wish) -> Result<Option<String>> {
    let Wish { key, path, value } = wish;
    let now = sysctls.legible(path)?;
    if now.as_deref() == Some(value) {
        return Ok(now);
    }
    sysctls.put(path, value)?;
    let now = sysctls.legible(path)?;
    let is_blank = value.trim().is_empty();
    match now {
        Some(now) if is_blank && !now.is_empty() => Err(Failure::config(format!(
            "sysctl {key}: an empty value changes nothing, and it is {now:?}"
        ))),
        now => Ok(now),
    }
}

/// Restores the values, last one first.
pub fn put_back(side: &Side, said: &[Said]) -> Result<()> {
    side.sysctl(|sysctls| {
        // One sysctl may change another, as `ip_forward` does.
        for _twice in 0..2 {
            for (path, value) in said.iter().rev() {
                sysctls.set(path, value)?;
            }
        }
        Ok(())
    })
}

/// The file of a key below `/proc/sys/net`. Every dot becomes a slash, so no `..` is left.
fn file_of(key: &str, ifname: &str) -> Result<PathBuf> {
    let named = key.replace('.', "/").replacen("IFNAME", ifname, 1);
    let parts: Vec<&str> = named.split('/').filter(|part| !part.is_empty()).collect();
    let is_plain = !named.contains('\0') && parts.len() > 1;
    if parts.first() != Some(&"net") || !is_plain {
        let text = format!("invalid net sysctl key: {named:?}");
        return Err(Failure::config(text).hint("only sysctls below net can be set"));
    }
    Ok(Path::new("/proc/sys").join(parts.join("/")))
}

fn missing(wish: &Wish) -> Failure {
    let Wish { key, path, .. } = wish;
    let text = format!("sysctl {key} does not exist: no file {}", path.display());
    Failure::new(ErrorCode::INTERNAL, text)
        .hint("leave it out, or load the kernel module that has it")
}

fn contradiction(wish: &Wish, now: &str) -> Failure {
    let Wish { key, value, .. } = wish;
    let text = format!("sysctl {key}: wrote {value:?}, and another sysctl made it {now:?} again");
    Failure::config(text).hint("leave out one of the two")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, &str)]) -> Wanted {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Wanted(pairs.iter().map(owned).collect())
    }

    #[test]
    fn a_key_is_a_file_below_net_and_nowhere_else() {
        for (key, file) in [
            (
                "net.ipv4.conf.IFNAME.arp_filter",
                "net/ipv4/conf/eth0.5/arp_filter",
            ),
            ("net/core/somaxconn", "net/core/somaxconn"),
            ("net.core..somaxconn", "net/core/somaxconn"),
        ] {
            assert_eq!(
                file_of(key, "eth0.5").unwrap(),
                Path::new("/proc/sys").join(file)
            );
        }
        for key in ["kernel.hostname", "net", "", "network.x", "net.a\0b"] {
            let told = file_of(key, "eth0").unwrap_err().message();
            assert!(told.starts_with("invalid net sysctl key: "), "{told}");
        }
    }

    #[test]
    fn a_key_twice_is_refused_and_a_later_source_has_the_last_word() {
        let twice = wanted(&[("net.a.b", "1"), ("net.a.c", "1"), ("net.a.b", "1")]);
        let told = Wishes::new(twice, Wanted::default(), "eth0").unwrap_err();
        assert_eq!(told.message(), "duplicated sysctl keys are not allowed");
        let (one, other) = (
            wanted(&[("net.a.c", "1"), ("net.a.b", "1")]),
            wanted(&[("net/a/c", "2")]),
        );
        let wishes = Wishes::new(one, other, "eth0").unwrap();
        let files: Vec<_> = wishes
            .files()
            .map(|(path, value)| (path.to_str().unwrap(), value))
            .collect();
        assert_eq!(
            files,
            [("/proc/sys/net/a/b", "1"), ("/proc/sys/net/a/c", "2")]
        );
    }
}
