//! The daemon's command line, in the syntax of Go's flag package.

use std::path::PathBuf;
use std::time::Duration;

use crate::conf::SOCKET;

/// The command line's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flags {
    /// The file for the process id.
    pub(crate) pid_file: Option<PathBuf>,
    /// Prefix of every path except the PID file's: the host's root as seen in a container.
    pub(crate) host_prefix: String,
    /// The socket's path.
    pub(crate) socket: String,
    /// Whether servers shall answer by broadcast.
    pub(crate) broadcast: bool,
    /// Deadline for a server's answer to the first message.
    pub(crate) timeout: Duration,
    /// The longest pause between two attempts.
    pub(crate) resend_max: Duration,
    /// Deadline for obtaining an address.
    pub(crate) resend_timeout: Duration,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            pid_file: None,
            host_prefix: String::new(),
            socket: SOCKET.to_owned(),
            broadcast: false,
            timeout: Duration::from_secs(10),
            resend_max: Duration::from_secs(62),
            resend_timeout: Duration::from_secs(208),
        }
    }
}

/// The output for `-h` and for an invalid flag.
pub(crate) const USAGE: &str = "\
Usage of dhcp daemon:
  -broadcast
    \task servers to answer by broadcast
  -hostprefix string
    \tprefix of the socket's path and of every namespace's
  -pidfile string
    \tabsolute path of a file for the process id
  -resendmax duration
    \tlongest pause between two attempts (default 1m2s)
  -resendtimeout duration
    \thow long getting an address may take (default 3m28s)
  -socketpath string
    \twhere to listen (default \"/run/cni/dhcp.sock\")
  -timeout duration
    \thow long a server has to answer the first message (default 10s)
";

impl Flags {
    /// Parses the arguments. The error is a line for the user.
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut flags = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let name = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'));
            let Some(name) = name.filter(|name| !name.is_empty()) else {
                // Flags end here, as in Go. The rest is ignored.
                break;
            };
            let (name, mut value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            if name == "broadcast" {
                flags.broadcast = switch(value.as_deref())?;
                continue;
            }
            let mut value = || {
                let next = value.take().or_else(|| rest.next().cloned());
                next.ok_or_else(|| format!("flag needs an argument: -{name}"))
            };
            match name {
                "pidfile" => {
                    let path = PathBuf::from(value()?);
                    flags.pid_file = Some(path).filter(|path| !path.as_os_str().is_empty());
                }
                "hostprefix" => flags.host_prefix = value()?,
                "socketpath" => flags.socket = value()?,
                "timeout" => flags.timeout = duration(name, &value()?)?,
                "resendmax" => flags.resend_max = duration(name, &value()?)?,
                "resendtimeout" => flags.resend_timeout = duration(name, &value()?)?,
                _ => return Err(format!("flag provided but not defined: -{name}")),
            }
        }
        Ok(flags)
    }
}

fn switch(value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(format!(
            "invalid boolean value {other:?} for -broadcast: parse error"
        )),
    }
}

fn duration(name: &str, text: &str) -> Result<Duration, String> {
    let told = go_duration(text).filter(|told| !told.is_zero());
    told.ok_or_else(|| format!("invalid value {text:?} for flag -{name}: parse error"))
}

/// Parses Go's durations, such as `1m2.5s`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        sum = sum.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = after;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, String> {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Flags::parse(&args)
    }

    #[test]
    fn flags_are_read_as_gos_are() {
        let line = "-pidfile /p --hostprefix=/host -socketpath /s --broadcast -timeout 500ms -resendmax=1m2.5s -resendtimeout 1h";
        let want = Flags {
            pid_file: Some("/p".into()),
            host_prefix: "/host".to_owned(),
            socket: "/s".to_owned(),
            broadcast: true,
            timeout: Duration::from_millis(500),
            resend_max: Duration::from_millis(62_500),
            resend_timeout: Duration::from_secs(3600),
        };
        assert_eq!(parse(line), Ok(want));
        assert_eq!(parse(""), Ok(Flags::default()));
        assert_eq!(parse("-broadcast=false rest -x"), Ok(Flags::default()));
    }

    #[test]
    fn wrong_flags_are_told() {
        for (line, told) in [
            ("-x", "flag provided but not defined: -x"),
            ("-timeout", "flag needs an argument: -timeout"),
            (
                "-timeout 10",
                "invalid value \"10\" for flag -timeout: parse error",
            ),
            (
                "-timeout -1s",
                "invalid value \"-1s\" for flag -timeout: parse error",
            ),
            (
                "-broadcast=maybe",
                "invalid boolean value \"maybe\" for -broadcast: parse error",
            ),
        ] {
            assert_eq!(parse(line), Err(told.to_owned()), "{line}");
        }
    }
}
