//! The lookup of a plugin over `CNI_PATH`.

use std::path::{Path, PathBuf};

use crate::Error;

/// Splits `CNI_PATH` at `:`; an empty value is an empty list.
pub fn split_path(cni_path: &str) -> Vec<PathBuf> {
    if cni_path.is_empty() {
        return Vec::new();
    }
    cni_path.split(':').map(PathBuf::from).collect()
}

/// The first regular file `<dir>/<name>`. A name that could leave the directory is refused (CVE-2021-20206).
pub fn find(name: &str, dirs: &[PathBuf]) -> Result<PathBuf, Error> {
    if name.is_empty() {
        return Err(Error::NoName);
    }
    if name.contains(['/', '\\', '\0']) || name == "." || name.contains("..") {
        return Err(Error::InvalidName(name.to_owned()));
    }
    if dirs.is_empty() {
        return Err(Error::NoPaths);
    }
    dirs.iter()
        .map(|dir| Path::new(".").join(dir).join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| Error::NotFound {
            name: name.to_owned(),
            dirs: dirs.to_vec(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        let dirs = [PathBuf::from("/")];
        for name in ["a/b", "../a", "..", ".", "a\0b", "/bin/sh"] {
            assert!(
                matches!(find(name, &dirs), Err(Error::InvalidName(_))),
                "{name}"
            );
        }
        assert_eq!(find("", &dirs), Err(Error::NoName));
        assert_eq!(find("a", &[]), Err(Error::NoPaths));
    }

    #[test]
    fn a_directory_is_no_plugin() {
        let missing = find("proc", &[PathBuf::from("/")]).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "failed to find plugin \"proc\" in path [/]"
        );
    }
}
