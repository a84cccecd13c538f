//! The sections of the manual pages that clap does not generate: exit status, environment, files and examples.

/// The statuses of every command but `run`, whose statuses are those of its own command.
const STATUSES: [(&str, &str); 5] = [
    ("0", "Yes, or done."),
    ("1", "No, or it could not be done."),
    (
        "2",
        "The command line is wrong, or names several attachments.",
    ),
    (
        "3",
        "The answer cannot be known: rights are missing, or the version of the list has no STATUS.",
    ),
    ("4", "The network or the attachment is unknown."),
];

const RUN_STATUSES: [(&str, &str); 4] = [
    ("125", "The command was not attached."),
    ("126", "The command cannot be executed."),
    ("127", "The command was not found."),
    (
        "128 + N",
        "Signal N ended the command. Any other status is the command's own.",
    ),
];

const ENVIRONMENT: [(&str, &str); 7] = [
    (
        "NETCONFPATH",
        "The directory of network configurations, as --net-dir.",
    ),
    (
        "CNI_PATH",
        "Directories of plugins, with a colon between two, as --plugin-dirs.",
    ),
    ("CNI_IFNAME", "The name of the interface, as --ifname."),
    ("CNI_ARGS", "Arguments for plugins, as --args."),
    ("CAP_ARGS", "Values for capabilities, as --capability-args."),
    (
        "LINKSPAN_TELEMETRY",
        "DIR[,journal[=info]] of the plugins: where spans and counters go, and whether the journal gets records.",
    ),
    ("NO_COLOR", "Output has no colours while it is set."),
];

const FILES: [(&str, &str); 4] = [
    (
        "/etc/cni/net.d",
        "Network configurations, in the order of their names.",
    ),
    (
        "/opt/cni/bin",
        "Plugins, where CNI_PATH names no directory.",
    ),
    (
        "/var/lib/cni/results",
        "The remembered attachments, as libcni writes them.",
    ),
    ("/var/lib/cni/networks", "The leases of host-local."),
];

/// An example of each command.
const EXAMPLES: &[(&str, &str)] = &[
    ("linkspan", "linkspan list"),
    ("add", "linkspan add linkspan web"),
    ("back", "linkspan back /usr/lib/cni"),
    ("check", "linkspan check pod:prod/web-0"),
    ("clear", "linkspan clear --dry-run"),
    (
        "completion",
        "linkspan completion bash >/etc/bash_completion.d/linkspan",
    ),
    ("del", "linkspan del web --net other"),
    ("demo", "linkspan demo"),
    (
        "dhcp-daemon",
        "linkspan dhcp-daemon -socketpath /run/cni/dhcp.sock",
    ),
    ("doctor", "linkspan doctor web"),
    ("gc", "linkspan gc --all --dry-run"),
    ("inspect", "linkspan inspect 10.230.0.2"),
    (
        "install",
        "linkspan install -p /opt/cni/bin --conflist 10-linkspan.conflist",
    ),
    ("list", "linkspan list --graph=svg >node.svg"),
    (
        "metrics",
        "linkspan metrics --textfile /var/lib/prometheus/node-exporter/linkspan.prom",
    ),
    ("netns", "linkspan netns list"),
    ("netns-add", "linkspan netns add web"),
    ("netns-del", "linkspan netns del web"),
    ("netns-list", "linkspan netns list --json"),
    (
        "oci-hook",
        "linkspan oci-hook --net linkspan --publish 8080:80",
    ),
    ("pause", "linkspan pause --watch /opt/cni/bin"),
    ("ports", "linkspan ports 8080/tcp"),
    ("restore", "linkspan restore"),
    (
        "run",
        "linkspan run -p 8080:80 -- python3 -m http.server 80",
    ),
    ("status", "linkspan status --json"),
    ("uninstall", "linkspan uninstall /opt/cni/bin"),
    ("validate", "linkspan validate --strict"),
    ("version", "linkspan version --json"),
];

/// The sections of the page of a command.
pub(crate) fn sections(command: &str) -> String {
    let statuses: &[(&str, &str)] = if command == "run" {
        &RUN_STATUSES
    } else {
        &STATUSES
    };
    let mut text = section("EXIT STATUS", statuses);
    text.push_str(&section("ENVIRONMENT", &ENVIRONMENT));
    text.push_str(&section("FILES", &FILES));
    let example = EXAMPLES.iter().find(|(name, _)| *name == command);
    let (_, example) = example.unwrap_or_else(|| panic!("no example of {command}"));
    text.extend([".SH EXAMPLES\n.nf\n", &escaped(example), "\n.fi\n"]);
    text
}

fn section(heading: &str, rows: &[(&str, &str)]) -> String {
    let mut text = format!(".SH \"{heading}\"\n");
    for (word, meaning) in rows {
        let (word, meaning) = (escaped(word), escaped(meaning));
        text.extend([".TP\n\\fB", &word, "\\fR\n", &meaning, "\n"]);
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('-', "\\-")
}
