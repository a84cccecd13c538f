//! The arguments of `cnitool`: words, and flags anywhere between them.

/// The commands and what they do.
const COMMANDS: [(&str, &str); 5] = [
    ("add", "Add network interface to a network namespace"),
    ("check", "Check network interface in a network namespace"),
    ("del", "Delete network interface from a network namespace"),
    ("gc", "Garbage collect stale network interfaces"),
    ("status", "Check network status"),
];

const FLAG: &str =
    "  -i, --ifname string   Name of the interface (default CNI_IFNAME, then eth0)\n";

/// The end of a run, for stderr: the message, and the usage.
pub(super) struct Refused {
    pub(super) message: String,
    pub(super) usage: String,
}

/// The request of the arguments.
pub(super) enum Asked<'a> {
    Help(String),
    Run {
        command: &'static str,
        network: &'a str,
        netns: &'a str,
        ifname: Option<String>,
    },
}

/// The arguments, taken apart.
#[derive(Default)]
struct Taken<'a> {
    words: Vec<&'a str>,
    ifname: Option<String>,
    help: bool,
    /// The first invalid flag.
    wrong: Option<String>,
}

impl<'a> Taken<'a> {
    fn of(args: &'a [String]) -> Self {
        let mut taken = Self::default();
        let mut rest = args.iter().map(String::as_str);
        while let Some(arg) = rest.next() {
            match arg {
                "--" => taken.words.extend(rest.by_ref()),
                "-h" | "--help" => taken.help = true,
                "--ifname" => taken.named(rest.next().ok_or("--ifname")),
                "-i" => taken.named(rest.next().ok_or("'i' in -i")),
                _ => taken.other(arg),
            }
        }
        taken
    }

    fn named(&mut self, value: Result<&str, &str>) {
        match value {
            Ok(name) => self.ifname = Some(name.to_owned()),
            Err(flag) => self.refuse(format!("flag needs an argument: {flag}")),
        }
    }

    fn other(&mut self, arg: &'a str) {
        let attached = ["--ifname=", "-i=", "-i"];
        if let Some(name) = attached.iter().find_map(|flag| arg.strip_prefix(flag)) {
            self.named(Ok(name));
        } else if arg.starts_with("--") {
            self.refuse(format!("unknown flag: {arg}"));
        } else if let Some(flag) = arg.strip_prefix('-').and_then(|flags| flags.chars().next()) {
            self.refuse(format!("unknown shorthand flag: {flag:?} in {arg}"));
        } else {
            self.words.push(arg);
        }
    }

    fn refuse(&mut self, message: String) {
        self.wrong.get_or_insert(message);
    }
}

/// Parses the arguments.
pub(super) fn parse(args: &[String]) -> Result<Asked<'_>, Refused> {
    let Taken {
        words,
        ifname,
        help,
        wrong,
    } = Taken::of(args);
    let known = |word: &str| COMMANDS.iter().find(|(name, _)| *name == word);
    let (first, rest) = match words.as_slice() {
        [] | ["help", ..] => {
            let about = words.get(1).and_then(|word| known(word));
            let usage = about.map_or_else(overview, |(name, _)| usage(name));
            return match wrong {
                Some(message) => Err(Refused { message, usage }),
                None => Ok(Asked::Help(usage)),
            };
        }
        [first, rest @ ..] => (*first, rest),
    };
    let Some((command, _)) = known(first) else {
        return Err(Refused {
            message: format!("unknown command {first:?} for \"cnitool\""),
            usage: "Run 'cnitool --help' for usage.".to_owned(),
        });
    };
    let usage = usage(command);
    let message = match (wrong, rest) {
        (Some(message), _) => message,
        _ if help => return Ok(Asked::Help(usage)),
        (None, [network, netns, ..]) => {
            return Ok(Asked::Run {
                command,
                network,
                netns,
                ifname,
            });
        }
        (None, few) => format!("requires at least 2 arg(s), only received {}", few.len()),
    };
    Err(Refused { message, usage })
}

fn overview() -> String {
    let commands = COMMANDS.map(|(name, does)| format!("  {name:<8}{does}\n"));
    let commands = commands.concat();
    format!(
        "Usage:\n  cnitool [command]\n\nAvailable Commands:\n{commands}\nFlags:\n  -h, --help            \
         help for cnitool\n{FLAG}"
    )
}

pub(super) fn usage(command: &str) -> String {
    format!(
        "Usage:\n  cnitool {command} <network-name> <netns> [flags]\n\nFlags:\n  -h, --help   help for \
         {command}\n\nGlobal Flags:\n{FLAG}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<String, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&args) {
            Ok(Asked::Help(text)) => Ok(text.lines().nth(1).unwrap().trim().to_owned()),
            Ok(Asked::Run {
                command,
                network,
                netns,
                ifname,
            }) => Ok(format!("{command} {network} {netns} {ifname:?}")),
            Err(refused) => Err(refused.message),
        }
    }

    #[test]
    fn flags_stand_anywhere_and_what_is_too_much_is_ignored() {
        for (line, asked) in [
            ("add net ns", "add net ns None"),
            ("add net ns and more", "add net ns None"),
            ("add -i eth1 net ns", "add net ns Some(\"eth1\")"),
            ("--ifname=eth1 del net ns", "del net ns Some(\"eth1\")"),
            ("gc net -ieth1 -- -ns", "gc net -ns Some(\"eth1\")"),
            ("", "cnitool [command]"),
            ("help", "cnitool [command]"),
            ("--help", "cnitool [command]"),
            ("add --help", "cnitool add <network-name> <netns> [flags]"),
            ("help del", "cnitool del <network-name> <netns> [flags]"),
        ] {
            assert_eq!(parsed(line).as_deref(), Ok(asked), "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_told_as_the_go_tool_does() {
        for (line, message) in [
            ("add", "requires at least 2 arg(s), only received 0"),
            ("status net", "requires at least 2 arg(s), only received 1"),
            ("fly net ns", "unknown command \"fly\" for \"cnitool\""),
            ("add net ns --all", "unknown flag: --all"),
            ("add net ns -x", "unknown shorthand flag: 'x' in -x"),
            ("add net ns -i", "flag needs an argument: 'i' in -i"),
        ] {
            assert_eq!(parsed(line), Err(message.to_owned()), "{line}");
        }
    }
}
