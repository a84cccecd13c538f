//! One call, from environment and stdin to the reply, with libcni's exact order of checks and codes.

use std::collections::HashSet;
use std::io;

use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::command::Command;
use linkspan_protocol::conf::{NetConf, ValidAttachment};
use linkspan_protocol::env::Env;
use linkspan_protocol::error::{ErrorCode, Failure, WireError};
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName, NetworkName};
use linkspan_protocol::json::Json;
use linkspan_protocol::version::SpecVersion;
use linkspan_protocol::wire;

use crate::gate::{gate, guard};
use crate::{AddCall, Call, CheckCall, DelCall, GcCall, Plugin, Result, StatusCall, Undo};

/// Reads all of stdin; called only by the verbs that have an input.
pub type Stdin<'a> = &'a mut dyn FnMut() -> io::Result<Vec<u8>>;

/// The output of the process and its success.
#[derive(Debug, Default)]
pub struct Reply {
    /// Bytes for stdout.
    pub stdout: Vec<u8>,
    /// Text for stderr.
    pub stderr: String,
    /// Exit status 0, otherwise 1.
    pub ok: bool,
    /// The steps that undo an ADD where its answer cannot be printed.
    pub(crate) undo: Undo,
}

impl Reply {
    fn success(stdout: Vec<u8>) -> Self {
        Self {
            stdout,
            ok: true,
            ..Self::default()
        }
    }

    /// The error object that it prints, unless it is a success.
    pub(crate) fn error(&self) -> Option<WireError> {
        let printed = (!self.ok).then(|| Json::parse(&self.stdout).ok());
        printed.flatten()?.decode().ok()
    }

    /// A success without output.
    fn done() -> Self {
        Self::success(Vec::new())
    }

    /// GC without a list of valid attachments: collects nothing, because any attachment may be valid.
    fn nothing_collected(name: &str) -> Self {
        let [key, _] = NetConf::VALID_ATTACHMENTS;
        Self {
            stderr: format!(
                "{name}: GC collected nothing: the configuration has no {key}, which names the attachments to keep\n"
            ),
            ..Self::done()
        }
    }

    fn about(name: &str) -> Self {
        let versions = SpecVersion::ALL.map(SpecVersion::as_str).join(", ");
        let release = env!("CARGO_PKG_VERSION");
        Self {
            stderr: format!(
                "CNI {name} plugin v{PEER}+linkspan.{release}\nCNI protocol versions supported: {versions}\n"
            ),
            ok: true,
            ..Self::default()
        }
    }
}

impl From<&Failure> for Reply {
    fn from(failure: &Failure) -> Self {
        Self {
            stdout: failure.to_bytes(),
            ..Self::default()
        }
    }
}

/// The release of the Go plugins that ours replace. Engines parse the rest of the line as a semantic version, and use
/// the features of that release.
const PEER: &str = "1.9.1";

/// Serves one call of `P`.
pub fn serve<P: Plugin>(env: &Env, stdin: Stdin<'_>) -> Reply {
    if env.command.is_empty() {
        return Reply::about(own_name::<P>());
    }
    match dispatch::<P>(env, stdin) {
        Ok(reply) => reply,
        Err(failure) => Reply::from(&failure),
    }
}

fn own_name<P: Plugin>() -> &'static str {
    P::NAMES.first().copied().unwrap_or_default()
}

fn dispatch<P: Plugin>(env: &Env, stdin: Stdin<'_>) -> Result<Reply> {
    env.validate()?;
    let command = Command::parse(&env.command);
    if command == Some(Command::Version) {
        return Ok(Reply::success(versions()));
    }
    let stdin = stdin()
        .map_err(|err| Failure::new(ErrorCode::IO, format!("error reading from stdin: {err}")))?;
    let json = Json::parse(&stdin).map_err(undecodable)?;
    // DEL and GC must work under a configuration that was edited since ADD.
    let lenient = matches!(command, Some(Command::Del | Command::Gc));
    let netconf = if lenient {
        NetConf::decode_leniently(&json)
    } else {
        NetConf::decode(&json)
    };
    let netconf = netconf.map_err(undecodable)?;
    let network = NetworkName::parse(&netconf.name)?;
    let Some(command) = command else {
        return Err(Failure::new(
            ErrorCode::INVALID_ENVIRONMENT,
            format!("unknown CNI_COMMAND: {}", env.command),
        ));
    };
    let version = gate(command, &netconf.cni_version)?;
    if matches!(command, Command::Add | Command::Del) {
        guard(env)?;
    }
    let conf: std::result::Result<P::Conf, _> = if lenient {
        json.decode_leniently(P::NEEDED)
    } else {
        json.decode()
    };
    let conf = conf.map_err(|err| Failure::from(err).context("failed to load netconf"))?;
    let call = Call {
        network,
        version,
        netconf,
        args: env.args.clone(),
        env: env.clone(),
        stdin,
    };
    run::<P>(command, call, conf)
}

fn run<P: Plugin>(command: Command, call: Call, conf: P::Conf) -> Result<Reply> {
    let netns = NetnsPath::new(&call.env.netns);
    let sandbox = netns.clone().ok_or_else(|| {
        Failure::new(
            ErrorCode::INVALID_ENVIRONMENT,
            "required env variables [CNI_NETNS] missing",
        )
    });
    match command {
        Command::Add => {
            let (attachment, netns) = (attachment(&call.env)?, sandbox?);
            let call = AddCall {
                call,
                attachment,
                netns,
            };
            // Encoding belongs to the attempt: a result that this version cannot express is undone too.
            let plan = P::plan(&call, conf)?;
            let (result, undo) = Undo::scope(|undo| {
                let result = P::add(&call, plan, undo)?;
                wire::encode(&result, call.version)
            })?;
            Ok(Reply {
                undo,
                ..Reply::success(result.into_bytes())
            })
        }
        Command::Del => {
            let attachment = attachment(&call.env)?;
            let call = DelCall {
                call,
                attachment,
                netns,
            };
            P::del(&call, conf).map(|()| Reply::done())
        }
        Command::Check => {
            let (attachment, netns) = (attachment(&call.env)?, sandbox?);
            let call = CheckCall {
                call,
                attachment,
                netns,
            };
            let plan = P::plan(&call, conf)?;
            P::check(&call, plan).map(|()| Reply::done())
        }
        Command::Restore => {
            let (attachment, netns) = (attachment(&call.env)?, sandbox?);
            let call = CheckCall {
                call,
                attachment,
                netns,
            };
            let plan = P::plan(&call, conf)?;
            P::restore(&call, plan).map(|()| Reply::done())
        }
        Command::Gc => {
            let Some(valid_attachments) = valid_attachments(&call.netconf)? else {
                return Ok(Reply::nothing_collected(own_name::<P>()));
            };
            let call = GcCall {
                call,
                valid_attachments,
            };
            P::gc(&call, conf).map(|()| Reply::done())
        }
        Command::Status => {
            let plan = P::plan(&call, conf)?;
            P::status(&StatusCall { call }, plan).map(|()| Reply::done())
        }
        Command::Version => Ok(Reply::success(versions())),
    }
}

fn attachment(env: &Env) -> Result<AttachmentId> {
    Ok(AttachmentId {
        container_id: ContainerId::parse(&env.container_id)?,
        ifname: IfName::parse(&env.ifname)?,
    })
}

/// The attachments that GC spares; `None` where the caller gave no list. An attachment that is not on the list loses
/// everything. So an absent list is not read as an empty one, and one malformed element makes the whole list an error.
fn valid_attachments(netconf: &NetConf) -> Result<Option<HashSet<AttachmentId>>> {
    let Some(listed) = &netconf.valid_attachments else {
        return Ok(None);
    };
    let valid = |(at, listed): (usize, &ValidAttachment)| {
        let refuse = |failure: Failure| {
            failure
                .with_code(ErrorCode::INVALID_NETWORK_CONFIG)
                .context(format!("cni.dev/valid-attachments[{at}]"))
        };
        Ok(AttachmentId {
            container_id: ContainerId::parse(&listed.container_id).map_err(refuse)?,
            ifname: IfName::parse(&listed.ifname).map_err(refuse)?,
        })
    };
    let valid: Result<_> = listed.iter().enumerate().map(valid).collect();
    valid.map(Some)
}

fn undecodable(err: linkspan_protocol::json::Error) -> Failure {
    Failure::from(err).context("error unmarshall network config")
}

/// The VERSION object, compact and with a newline as libcni prints it.
fn versions() -> Vec<u8> {
    let list = SpecVersion::ALL.map(|v| format!("\"{v}\"")).join(",");
    let newest = SpecVersion::NEWEST;
    format!("{{\"cniVersion\":\"{newest}\",\"supportedVersions\":[{list}]}}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::result::AddResult;

    /// Fails with the list of attachments that GC got.
    struct Collector;

    impl Plugin for Collector {
        type Conf = Json;
        type Plan = ();
        const NAMES: &'static [&'static str] = &["collector"];

        fn plan(_: &Call, _: Json) -> Result<()> {
            Ok(())
        }

        fn add(_: &AddCall, (): (), _: &mut Undo) -> Result<AddResult> {
            Ok(AddResult::default())
        }

        fn del(_: &DelCall, _: Json) -> Result<()> {
            Ok(())
        }

        fn check(_: &CheckCall, (): ()) -> Result<()> {
            Ok(())
        }

        fn gc(call: &GcCall, _: Json) -> Result<()> {
            let spared = call.valid_attachments.iter();
            let mut spared: Vec<_> = spared
                .map(|a| format!("{}/{}", a.container_id, a.ifname))
                .collect();
            spared.sort();
            Err(Failure::new(ErrorCode(100), spared.join(" ")))
        }

        fn status(_: &StatusCall, (): ()) -> Result<()> {
            Ok(())
        }
    }

    fn served(list: &str) -> Reply {
        let env = Env {
            command: "GC".to_owned(),
            path: "/nowhere".to_owned(),
            ..Env::default()
        };
        let conf = format!(r#"{{"cniVersion":"1.1.0","name":"net"{list}}}"#);
        serve::<Collector>(&env, &mut || Ok(conf.clone().into_bytes()))
    }

    fn collect(list: &str) -> (u32, String) {
        let error = Json::parse(&served(list).stdout)
            .and_then(|json| json.decode::<WireError>())
            .unwrap();
        (error.code, error.msg)
    }

    #[test]
    fn gc_is_given_the_list_under_either_name_and_an_empty_one_as_it_is() {
        for key in NetConf::VALID_ATTACHMENTS {
            let two = format!(
                r#","{key}":[{{"containerID":"b","ifname":"eth0"}},{{"containerID":"a","ifname":"net1","more":1}}]"#
            );
            assert_eq!(collect(&two), (100, "a/net1 b/eth0".to_owned()));
            for none in ["[]", "null"] {
                let none = format!(r#","{key}":{none}"#);
                assert_eq!(collect(&none), (100, String::new()));
            }
        }
    }

    #[test]
    fn gc_without_a_list_collects_nothing_and_says_why() {
        let reply = served("");
        assert!(reply.ok && reply.stdout.is_empty());
        let told = "collector: GC collected nothing: the configuration has no cni.dev/valid-attachments, \
                    which names the attachments to keep\n";
        assert_eq!(reply.stderr, told);
    }

    #[test]
    fn gc_with_a_list_that_names_nobody_is_refused() {
        let start = "cni.dev/valid-attachments";
        for (list, msg) in [
            (
                r#","cni.dev/valid-attachments":[{"ifname":"eth0"}]"#,
                format!("{start}[0]: missing containerID"),
            ),
            (
                r#","cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"},{"containerID":"a"}]"#,
                format!("{start}[1]: interface name is empty"),
            ),
        ] {
            assert_eq!(collect(list), (7, msg));
        }
    }
}
