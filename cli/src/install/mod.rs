//! `linkspan install DIR`: every plugin's name as a hard link to one copy of this binary, and then a network.
//!
//! Each name changes by rename, so a runtime that executes a plugin meanwhile gets the old file or the new one whole.
//! The network comes last: a runtime that sees it finds its plugins.

pub(crate) mod place;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::slice;

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::Result;
use serde_json::json;

use crate::output::{self, Progress};
use crate::plugins::own_executable;
use crate::validate::{Validator, has_a_lists_name, not_a_lists_name};

/// The mode of executables, whatever the umask. It is never wider (CVE-2024-33522).
const EXECUTABLE: u32 = 0o755;
/// The mode of a network's configuration, which may hold secrets.
const SECRET: u32 = 0o600;
/// The name of the copy itself.
const COPY: &str = "linkspan";

/// A network's configuration that passed, and its path.
#[derive(Debug)]
pub(crate) struct Network {
    path: PathBuf,
    list: Vec<u8>,
}

impl Network {
    /// The list in `file` as it would be in the directory `net_dir`, unjudged.
    pub(crate) fn of(file: &Path, net_dir: &Path) -> Result<Self> {
        let list =
            fs::read(file).map_err(linkspan_runtime::io(format!("read {}", file.display())))?;
        Ok(Self {
            path: net_dir.join(file.file_name().unwrap_or_default()),
            list,
        })
    }

    /// Judges the list in `file` as it would be in the directory `net_dir`.
    pub(crate) fn judge(file: &Path, net_dir: &Path, validator: &Validator<'_>) -> Result<Self> {
        let attempt = || format!("install {}", file.display());
        let name = file.file_name().unwrap_or_default();
        if !has_a_lists_name(file) {
            return Err(not_a_lists_name().context(attempt()));
        }
        let report = validator.file(file, net_dir);
        match report.problems.as_slice() {
            [] => Ok(Self {
                path: net_dir.join(name),
                list: report.raw,
            }),
            [first, more @ ..] => {
                let failure = Failure::config(first.clone()).context(attempt());
                let failure = more.iter().fold(failure, Failure::detail);
                Err(failure.hint("correct the file; nothing has been installed"))
            }
        }
    }
}

/// Installs, and prints a line for each name that changed.
pub(crate) fn run(
    out: &mut dyn Write,
    dir: &Path,
    network: Option<&Network>,
    plugins: &[&str],
    (makes_directories, as_json): (bool, bool),
) -> Result<()> {
    let net_dir = network.and_then(|network| network.path.parent());
    for dir in [Some(dir), net_dir].into_iter().flatten() {
        make_directory(dir, makes_directories)?;
        place::sweep(dir);
    }
    let mut changed = install_plugins(dir, plugins)?;
    if !as_json {
        tell(out, dir, &changed)?;
    }
    if let Some(Network { path, list }) = network {
        let is_new = place::file(path, list, SECRET, &mut |_, _| {}).map_err(attempt(path))?;
        if is_new {
            changed.push(path.clone());
        }
        if !as_json {
            let new: &[PathBuf] = if is_new { slice::from_ref(path) } else { &[] };
            tell(out, path, new)?;
        }
    }
    if as_json {
        let rows = changed
            .iter()
            .map(|path| json!({ "path": path, "installed": true }));
        output::rows(out, &rows.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The names that an installation would make: those that are missing or differ.
pub(crate) fn lacking(
    dir: &Path,
    network: Option<&Network>,
    plugins: &[&str],
) -> Result<Vec<PathBuf>> {
    let (copy, own) = (dir.join(COPY), own_content()?);
    let mut lacking: Vec<PathBuf> = plugins.iter().map(|name| dir.join(name)).collect();
    lacking.retain(|path| !place::is_link_of(&copy, path));
    if !place::has(&copy, &own, EXECUTABLE) {
        lacking.insert(0, copy);
    }
    if let Some(Network { path, list }) = network
        && !place::has(path, list, SECRET)
    {
        lacking.push(path.clone());
    }
    Ok(lacking)
}

/// Prints a line for each name that an installation would make.
pub(crate) fn tell_lacking(out: &mut dyn Write, lacking: &[PathBuf], as_json: bool) -> Result<()> {
    if as_json {
        let row = |path: &PathBuf| json!({ "path": path, "installed": false });
        return output::rows(out, &lacking.iter().map(row).collect::<Vec<_>>());
    }
    let line = |path: &PathBuf| format!("{} is missing or differs\n", path.display());
    output::text(out, &lacking.iter().map(line).collect::<String>())
}

/// The files of a directory that an installation of this suite put there: the copy and its links.
pub(crate) fn installed(dir: &Path, plugins: &[&str]) -> Vec<PathBuf> {
    let id = |path: &Path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let copy = dir.join(COPY);
    let Ok(own) = id(&copy) else {
        return Vec::new();
    };
    let links = plugins.iter().map(|name| dir.join(name));
    let mut found: Vec<PathBuf> = links
        .filter(|path| id(path).is_ok_and(|other| other == own))
        .collect();
    found.push(copy);
    found
}

/// The names that were changed.
fn install_plugins(dir: &Path, plugins: &[&str]) -> Result<Vec<PathBuf>> {
    let (copy, own) = (dir.join(COPY), own_content()?);
    let mut changed = Vec::new();
    let mut progress = Progress::new("installing: KiB".to_owned());
    let mut tell = |done: usize, all: usize| progress.tell(done / 1024, all / 1024);
    let is_new = place::file(&copy, &own, EXECUTABLE, &mut tell);
    progress.end();
    if is_new.map_err(attempt(&copy))? {
        changed.push(copy.clone());
    }
    for name in plugins {
        let path = dir.join(name);
        if place::link(&copy, &path).map_err(attempt(&path))? {
            changed.push(path);
        }
    }
    Ok(changed)
}

/// This binary.
fn own_content() -> Result<Vec<u8>> {
    let own = own_executable()?;
    fs::read(&own).map_err(linkspan_runtime::io(format!("read {}", own.display())))
}

/// A misspelt directory is not made: no engine would find anything there.
fn make_directory(dir: &Path, may: bool) -> Result<()> {
    if !may && dir != Path::new("") && !dir.is_dir() {
        let told = format!("{} is not a directory", dir.display());
        return Err(Failure::new(ErrorCode::IO, told)
            .hint("correct the path, or have it made with -p; nothing has been installed"));
    }
    place::directory(dir, EXECUTABLE)
        .map_err(linkspan_runtime::io(format!("create {}", dir.display())))
}

fn attempt(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    linkspan_runtime::io(format!("install {}", path.display()))
}

fn tell(out: &mut dyn Write, what: &Path, changed: &[PathBuf]) -> Result<()> {
    let told = match changed {
        [] => writeln!(out, "{} is up to date", what.display()),
        changed => changed
            .iter()
            .try_for_each(|path| writeln!(out, "installed {}", path.display())),
    };
    told.map_err(linkspan_runtime::io("print"))
}
