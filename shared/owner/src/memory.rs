//! The facts of an ADD that DEL and GC need: one small file for each attachment, bound to the boot.
//!
//! ADD writes the file before the change that it describes, atomically. A missing, broken, too long or outdated file
//! reads as empty, so no DEL depends on it. DEL deletes the file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use linkspan_protocol::error::Failure;
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName, NetworkName};
use nix::errno::Errno;

use crate::boot::BootId;
use crate::file;
use crate::home::Home;

/// The longest file in bytes.
const MAX: u64 = 32 * 1024;

/// The directory of memories that a configuration names by `dataDir`; `default` where it names none. Returns code 7 for a
/// path that is relative, or that cannot be.
pub fn directory(text: &str, default: &str) -> Result<PathBuf, Failure> {
    let dir = if text.is_empty() { default } else { text };
    if Path::new(dir).is_absolute() && !dir.contains('\0') {
        return Ok(dir.into());
    }
    let text = format!("dataDir {dir:?} is not an absolute path");
    Err(Failure::config(text))
}

/// The file of one attachment.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
}

/// The remembered facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The attachment's namespace.
    pub home: Option<Home>,
    /// Facts of the plugins, by key. A key contains no space.
    pub told: BTreeMap<String, String>,
}

impl Memory {
    /// The memory of an attachment below `dir`. Names of networks and containers contain no colon.
    pub fn new(dir: &Path, network: &NetworkName, attachment: &AttachmentId) -> Self {
        let AttachmentId {
            container_id,
            ifname,
        } = attachment;
        Self {
            path: dir.join(format!("{network}:{container_id}:{ifname}")),
        }
    }

    /// Replaces the remembered facts with `facts`.
    pub fn write(&self, facts: &Facts) -> io::Result<()> {
        let text = facts.text(BootId::current())?;
        file::write(&self.path, &self.draft(), text.as_bytes())
    }

    /// The remembered facts; none where the file is invalid or cannot be read.
    pub fn read(&self) -> Facts {
        self.try_read().unwrap_or_default()
    }

    /// The same, but returns the error of a failed read.
    pub fn try_read(&self) -> io::Result<Facts> {
        let bytes = match file::read(&self.path, MAX + 1) {
            // A symlink in place of the file is not followed.
            Err(err) if err.raw_os_error() == Some(Errno::ELOOP as i32) => None,
            read => read?,
        };
        let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return Ok(Facts::default());
        };
        let boot = BootId::current();
        if boot.is_none() {
            return Err(io::Error::other("the id of this boot cannot be read"));
        }
        Ok(Facts::parse(&text, boot).unwrap_or_default())
    }

    /// Forgets everything.
    pub fn forget(&self) -> io::Result<()> {
        file::remove(&self.draft()).and(file::remove(&self.path))
    }

    /// The draft of the file. Its name is fixed, so the next write or DEL removes the draft of a killed process.
    fn draft(&self) -> PathBuf {
        let mut name = OsString::from(".");
        name.extend(self.path.file_name());
        self.path.with_file_name(name)
    }
}

/// The attachments with a file below `dir`, drafts included.
pub fn attachments(dir: &Path) -> io::Result<BTreeSet<(NetworkName, AttachmentId)>> {
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        found.extend(attachment(&entry?.file_name()));
    }
    Ok(found)
}

/// The attachment of the file with this name.
fn attachment(name: &OsStr) -> Option<(NetworkName, AttachmentId)> {
    let mut parts = name.to_str()?.trim_start_matches('.').splitn(3, ':');
    let network = NetworkName::parse(parts.next()?).ok()?;
    let attachment = AttachmentId {
        container_id: ContainerId::parse(parts.next()?).ok()?,
        ifname: IfName::parse(parts.next()?).ok()?,
    };
    Some((network, attachment))
}

impl Facts {
    fn text(&self, boot: Option<BootId>) -> io::Result<String> {
        let boot = boot.ok_or(ErrorKind::Unsupported)?;
        let mut text = format!("boot {boot}\n");
        if let Some(home) = self.home.as_ref().and_then(Home::text) {
            text.extend(["home ", &home, "\n"]);
        }
        for (key, value) in &self.told {
            if key.contains([' ', '\n']) || value.contains('\n') {
                return Err(ErrorKind::InvalidInput.into());
            }
            text.extend(["fact ", key, " ", value, "\n"]);
        }
        let fits = text.len() as u64 <= MAX;
        fits.then_some(text).ok_or(ErrorKind::InvalidInput.into())
    }

    fn parse(text: &str, boot: Option<BootId>) -> Option<Self> {
        // A last line without a line feed was cut off.
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let told = BootId::parse(lines.next()?.strip_prefix("boot ")?);
        (text.len() as u64 <= MAX && told.is_some() && told == boot).then_some(())?;
        let mut facts = Self::default();
        for line in lines {
            match line.split_once(' ') {
                Some(("home", home)) => facts.home = Home::parse(home),
                Some(("fact", fact)) => {
                    let fact = fact.split_once(' ');
                    let fact = fact.map(|(key, value)| (key.to_owned(), value.to_owned()));
                    facts.told.extend(fact);
                }
                // A later release may write more kinds of lines.
                _ => {}
            }
        }
        Some(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::addr::NetnsPath;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn facts() -> Facts {
        Facts {
            home: Home::of(&NetnsPath::new("/proc/self/ns/net").unwrap()),
            told: BTreeMap::from([("tuning.mac".to_owned(), "02:00:00:00:00:01 x".to_owned())]),
        }
    }

    #[test]
    fn facts_are_read_as_they_were_written_in_the_same_boot_alone() {
        let [then, now] = [1, 2].map(|byte| Some(BootId([byte; 16])));
        let text = facts().text(then).unwrap();
        assert_eq!(Facts::parse(&text, then), Some(facts()));
        assert_eq!(Facts::parse(&text, now), None);
        assert_eq!(
            Facts::parse(&format!("{text}later x y\n"), then),
            Some(facts())
        );
        for end in 0..text.len() {
            let cut = Facts::parse(&text[..end], then);
            let part = cut.is_none_or(|cut| cut.told.is_empty());
            assert!(part, "{end}");
        }
        let long = "x".repeat(usize::try_from(MAX).unwrap());
        for value in ["a\nfact b c", &long] {
            let told = BTreeMap::from([("a".to_owned(), value.to_owned())]);
            assert!(Facts { home: None, told }.text(then).is_err());
        }
    }

    #[test]
    fn a_file_is_for_its_owner_alone_and_nothing_else_is_read_or_followed() {
        let dir = std::env::temp_dir().join(format!("linkspan-memory-{}", std::process::id()));
        let attachment = AttachmentId {
            container_id: ContainerId::parse("c").unwrap(),
            ifname: IfName::parse("eth0").unwrap(),
        };
        let memory = Memory::new(&dir, &NetworkName::parse("net").unwrap(), &attachment);
        assert_eq!(memory.read(), Facts::default());
        memory.write(&facts()).unwrap();
        memory.write(&facts()).unwrap();
        assert_eq!(memory.read(), facts());
        fs::write(dir.join("no attachment"), "").unwrap();
        let net = NetworkName::parse("net").unwrap();
        assert_eq!(
            attachments(&dir).unwrap(),
            BTreeSet::from([(net, attachment)])
        );
        fs::remove_file(dir.join("no attachment")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&memory.path)), (0o700, 0o600));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        let other = dir.join("other");
        fs::rename(&memory.path, &other).unwrap();
        symlink(&other, &memory.path).unwrap();
        assert_eq!(memory.read(), Facts::default());
        memory.forget().unwrap();
        memory.forget().unwrap();
        fs::write(&memory.path, [0xff; 9000]).unwrap();
        assert_eq!(memory.read(), Facts::default());
        fs::remove_dir_all(&dir).unwrap();
    }
}
