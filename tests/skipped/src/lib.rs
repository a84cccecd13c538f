//! The register of skipped tests of a run: each test binary writes its lines, and the last one counts them.
//!
//! A run is one process of cargo, the parent of every test binary. The register is a file beside the binaries. It may
//! have lines of unfinished runs; the next count removes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::unistd::{Pid, getppid};

/// Writes a line: the test, the skipped part, and the reason, with a colon after each but the last.
pub fn note(line: &str) -> io::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(register()?);
    file?.write_all(format!("{}\t{line}\n", run()?).as_bytes())
}

/// The count of this run's lines, for printing. Empties the register.
pub fn count() -> io::Result<String> {
    let register = register()?;
    let lines = match fs::read_to_string(&register) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(told("", "")),
        lines => lines?,
    };
    fs::remove_file(&register)?;
    Ok(told(&lines, &run()?))
}

/// The number of tests with lines of `run`, and the number of lines for each reason.
fn told(lines: &str, run: &str) -> String {
    let own = lines.lines().filter_map(|line| line.split_once('\t'));
    let own = own.filter_map(|(of, line)| (of == run).then_some(line));
    let (mut tests, mut reasons) = (BTreeSet::new(), BTreeMap::<&str, usize>::new());
    for line in own {
        let (test, why) = line.split_once(": ").unwrap_or((line, line));
        let reason = why.rsplit_once(": ").map_or(why, |(_, reason)| reason);
        tests.insert(test);
        *reasons.entry(reason).or_default() += 1;
    }
    if tests.is_empty() {
        return "SKIPPED: nothing\n".to_owned();
    }
    let each = reasons
        .iter()
        .map(|(reason, count)| format!("{count:8}  {reason}\n"));
    let head = format!("SKIPPED: {} tests, or parts of them\n", tests.len());
    [head].into_iter().chain(each).collect()
}

/// The directory of the profile, above that of the test binaries.
fn register() -> io::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let dir = exe.parent().and_then(Path::parent);
    let dir = dir.ok_or_else(|| io::Error::other("no directory above that of the test"))?;
    Ok(dir.join("skipped"))
}

/// Identifies this process of cargo: its number, which may be reused, and its start time.
fn run() -> io::Result<String> {
    let cargo = getppid();
    Ok(format!("{cargo}-{}", start(cargo)?))
}

/// The 22nd field of `proc_pid_stat(5)`. The second one is a name in parentheses with any characters.
fn start(process: Pid) -> io::Result<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
    let start = fields.and_then(|fields| fields.split_whitespace().nth(19));
    start
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other("cut short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_run_are_counted_by_their_reasons() {
        let lines = "1-7\tportmap a: nft is not in PATH\n2-7\tgc b: nft is not in PATH\n\
                     1-7\tportmap a: packets: nft is not in PATH\n1-7\tcri c: needs root\n";
        assert_eq!(
            told(lines, "1-7"),
            "SKIPPED: 2 tests, or parts of them\n       1  needs root\n       2  nft is not in PATH\n"
        );
        assert_eq!(told(lines, "1-8"), "SKIPPED: nothing\n");
    }

    #[test]
    fn a_process_is_known_by_its_beginning() {
        let own = start(Pid::this()).unwrap();
        assert!(own.parse::<u64>().unwrap() > 0);
        assert_eq!(run().unwrap(), run().unwrap());
        assert_ne!(run().unwrap(), format!("{}-{own}", Pid::this()));
    }
}
