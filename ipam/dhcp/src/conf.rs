//! The configuration, and the plan from it. Plugin and daemon decode the same text, so they agree.
//!
//! Decoding has no side effects. Each refusal is code 7.

use std::path::PathBuf;
use std::time::Duration;

use linkspan_plugin::Result;
use linkspan_protocol::conf::RouteConf;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::PerFamily;
use linkspan_protocol::result::Route;
use serde::Deserialize;

use crate::identity::{ClientId, Names};
use crate::profile::Profile;
use crate::wire::option::{self, Options};

/// The default path of the daemon's socket.
pub(crate) const SOCKET: &str = "/run/cni/dhcp.sock";

/// Maximum length of an option; only servers may send longer ones.
const OPTION_MAX: usize = 255;

/// The options that the reference's library requests if a configuration requests none.
const BARE: [u8; 4] = [option::MASK, option::ROUTERS, option::DOMAIN, option::DNS];

/// Kubelet's argument with the pod's name.
const POD: &str = "K8S_POD_NAME";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The keys of `dhcp` itself.
    ipam: Option<IpamConf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the keys of a configuration")]
struct IpamConf {
    /// The socket of the daemon. Default: `/run/cni/dhcp.sock`
    daemon_socket_path: String,
    /// Options to ask the server for.
    request: Vec<RequestConf>,
    /// Options to tell the server.
    provide: Vec<ProvideConf>,
    /// The metric of every route; 0 leaves them as they are.
    priority: i64,
    /// The host name for the server: `pod` for the pod's name, or the name itself.
    hostname: String,
    /// The client identifier, or a template for it. Default: container, network and interface, as in the Go suite
    #[serde(rename = "clientID")]
    client_id: String,
    /// Servers are asked to answer by broadcast, which ipvlan requires.
    broadcast: bool,
    /// The result has the server's name servers and domains.
    dns: bool,
    /// The routes of the result get the server's MTU.
    mtu: bool,
    /// Parts of the answer to leave out: `gateway`.
    suppress: Vec<String>,
    /// Routes in addition to the server's.
    routes: Vec<RouteConf>,
    /// The families: 4, 6, or 46 for both. Default: 4
    ip_family: Option<u32>,
    /// If only one of both families gets an answer, the other one is left out.
    partial: bool,
    /// Time limit for IPv4 servers, in seconds. Default: the daemon's own
    timeout: Option<u32>,
    /// Time limit for IPv6 servers, in seconds. Default: the daemon's own
    timeout6: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RequestConf {
    /// Does not ask for the default options.
    skip_default: bool,
    /// The option, by name or number.
    option: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ProvideConf {
    /// The option, by name or number.
    option: String,
    /// Its value.
    value: String,
    /// The argument in `CNI_ARGS` with its value.
    from_arg: String,
}

/// The way from a server's answer to a result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    /// The metric of every route; 0 leaves them as they are.
    pub(crate) priority: i64,
    /// Leaves out gateways and default routes.
    pub(crate) no_gateway: bool,
    /// Routes of the configuration.
    pub(crate) routes: Vec<Route>,
    /// Includes name servers and domains.
    pub(crate) dns: bool,
    /// Sets the server's MTU on every route.
    pub(crate) mtu: bool,
}

/// The families of an attachment's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Families {
    pub(crate) asked: PerFamily<bool>,
    /// Leaves out a family without an answer, if the other family has an address.
    pub(crate) partial: bool,
}

/// The checked plan.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) profile: Profile,
    pub(crate) client: ClientId,
    pub(crate) shape: Shape,
    pub(crate) families: Families,
    /// Time limits for the servers of each family; default: the daemon's own.
    pub(crate) timeout: Option<Duration>,
    pub(crate) timeout6: Option<Duration>,
}

impl Conf {
    /// The daemon's socket, the only key that DEL and GC need.
    pub(crate) fn socket(&self) -> Result<PathBuf> {
        let path = self
            .ipam
            .as_ref()
            .map(|ipam| ipam.daemon_socket_path.as_str());
        let path = path.filter(|path| !path.is_empty()).unwrap_or(SOCKET);
        if path.contains('\0') {
            return Err(Failure::config(
                "ipam.daemonSocketPath has a NUL, and no path has one",
            ));
        }
        Ok(PathBuf::from(path))
    }

    /// The plan for an attachment with the arguments `args`.
    pub(crate) fn plan(self, args: &str) -> Result<Plan> {
        let ipam = self
            .ipam
            .ok_or_else(|| Failure::config("IPAM config missing 'ipam' key"))?;
        let asked = asked(&ipam)?;
        let has = |code: u8| asked.contains(&code);
        let shape = Shape {
            priority: ipam.priority,
            no_gateway: no_gateway(&ipam.suppress)?,
            routes: ipam.routes.into_iter().map(RouteConf::into_route).collect(),
            dns: ipam.dns
                || [option::DNS, option::DOMAIN, option::SEARCH]
                    .into_iter()
                    .any(has),
            mtu: has(option::MTU),
        };
        let mut provided = provided(&ipam.provide, args)?;
        if let Some(name) = host_name(&ipam.hostname, args)? {
            provided.insert(option::HOST_NAME, name.into_bytes());
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Ok(Plan {
            profile: Profile {
                provided,
                asked: if asked.is_empty() {
                    BARE.to_vec()
                } else {
                    asked
                },
                broadcast: ipam.broadcast,
            },
            client: ClientId::parse(&ipam.client_id)?,
            shape,
            families: families(ipam.ip_family, ipam.partial)?,
            timeout: ipam.timeout.map(seconds),
            timeout6: ipam.timeout6.or(ipam.timeout).map(seconds),
        })
    }
}

fn code(text: &str) -> Result<u8> {
    option::code(text).ok_or_else(|| {
        Failure::config(format!("Can not parse option {text:?}"))
            .hint("name the option as dhcp-options(5) does, or give its number from 0 to 255")
    })
}

/// The options to request: the configuration's in its order, then routers and mask.
fn asked(ipam: &IpamConf) -> Result<Vec<u8>> {
    let mut asked = Vec::new();
    let mut ask = |code: u8| {
        if !asked.contains(&code) {
            asked.push(code);
        }
    };
    for request in ipam
        .request
        .iter()
        .filter(|request| !request.option.is_empty())
    {
        ask(code(&request.option)?);
    }
    if !ipam.request.iter().any(|request| request.skip_default) {
        ask(option::ROUTERS);
        ask(option::MASK);
    }
    if ipam.dns {
        ask(option::DNS);
        ask(option::DOMAIN);
        ask(option::SEARCH);
    }
    if ipam.mtu {
        ask(option::MTU);
    }
    Ok(asked)
}

/// The value of a key in `CNI_ARGS`. Pieces without `=` are ignored.
pub(crate) fn argument<'a>(args: &'a str, key: &str) -> Option<&'a str> {
    let pairs = args.split(';').filter_map(|piece| piece.split_once('='));
    let of_key = pairs.filter(|(known, _)| *known == key);
    of_key.map(|(_, value)| value).next_back()
}

/// The options to send. An argument overrides a value.
fn provided(conf: &[ProvideConf], args: &str) -> Result<Options> {
    let mut options = Options::new();
    for provide in conf {
        let code = code(&provide.option)?;
        if matches!(code, 0 | 255) {
            let text = format!("option {code} has no value, so it cannot be provided");
            return Err(Failure::config(text));
        }
        let from_arg = Some(provide.from_arg.as_str()).filter(|key| !key.is_empty());
        let (value, origin) = match from_arg.and_then(|key| argument(args, key)) {
            Some(value) => (value, format!(" from CNI_ARGS {:?}", provide.from_arg)),
            None if provide.value.is_empty() => continue,
            None => (provide.value.as_str(), String::new()),
        };
        if value.len() > OPTION_MAX {
            let named = &provide.option;
            return Err(
                Failure::config(format!("value too long for option {named:?}{origin}"))
                    .hint(format!("an option has at most {OPTION_MAX} bytes")),
            );
        }
        options.insert(code, value.as_bytes().to_vec());
    }
    Ok(options)
}

/// The client's host name: the pod's, or the configuration's.
fn host_name(hostname: &str, args: &str) -> Result<Option<String>> {
    let name = match hostname {
        "" => return Ok(None),
        "pod" => match argument(args, POD) {
            Some(name) => name,
            None => return Ok(None),
        },
        name => name,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || name.len() > OPTION_MAX || !name.chars().all(fits) {
        return Err(Failure::config("ipam.hostname: not the name of a host")
            .hint("use letters, digits, `-` and `.`, or the word pod for the pod's name"));
    }
    Ok(Some(name.to_owned()))
}

fn no_gateway(suppress: &[String]) -> Result<bool> {
    match suppress.iter().find(|word| *word != "gateway") {
        Some(word) => Err(
            Failure::config(format!("ipam.suppress: unknown word {word:?}"))
                .hint("the only one is gateway"),
        ),
        None => Ok(!suppress.is_empty()),
    }
}

fn families(ip_family: Option<u32>, partial: bool) -> Result<Families> {
    let (v4, v6) = match ip_family {
        None | Some(4) => (true, false),
        Some(6) => (false, true),
        Some(46 | 64) => (true, true),
        Some(other) => {
            return Err(
                Failure::config(format!("ipam.ipFamily: no such family {other}"))
                    .hint("use 4, 6 or 46"),
            );
        }
    };
    let asked = PerFamily { v4, v6 };
    Ok(Families { asked, partial })
}

/// The names of an attachment, from the plugin's input.
pub(crate) fn names(args: &crate::rpc::Args, network: &str) -> Names {
    Names {
        container: args.container.clone(),
        network: network.to_owned(),
        ifname: args.ifname.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::json::Json;

    fn plan(ipam: &str, args: &str) -> Result<Plan> {
        let text = format!(r#"{{"ipam":{ipam}}}"#);
        let conf: Conf = Json::parse(text.as_bytes()).unwrap().decode().unwrap();
        conf.plan(args)
    }

    #[test]
    fn the_list_of_options_is_the_references() {
        for (ipam, want) in [
            ("{}", vec![3, 1]),
            (
                r#"{"request":[{"option":"12"},{"option":"routers"}]}"#,
                vec![12, 3, 1],
            ),
            (r#"{"request":[{"skipDefault":true}]}"#, vec![1, 3, 15, 6]),
            (
                r#"{"request":[{"skipDefault":true,"option":"42"}]}"#,
                vec![42],
            ),
            (r#"{"dns":true,"mtu":true}"#, vec![3, 1, 6, 15, 119, 26]),
        ] {
            assert_eq!(plan(ipam, "").unwrap().profile.asked, want, "{ipam}");
        }
        assert!(
            !plan(r#"{"request":[{"skipDefault":true}]}"#, "")
                .unwrap()
                .shape
                .dns
        );
        assert!(
            plan(r#"{"request":[{"option":"6"}]}"#, "")
                .unwrap()
                .shape
                .dns
        );
    }

    #[test]
    fn options_to_send_come_from_values_and_arguments() {
        let ipam = r#"{"hostname":"pod","provide":[
            {"option":"60","value":"v","fromArg":"V"},{"option":"77","value":"u"},{"option":"61","fromArg":"none"}]}"#;
        let sent = plan(ipam, "V=w;odd;K8S_POD_NAME=web-0")
            .unwrap()
            .profile
            .provided;
        let want = [(12, &b"web-0"[..]), (60, b"w"), (77, b"u")];
        assert_eq!(
            sent,
            want.map(|(code, value)| (code, value.to_vec())).into()
        );
        assert!(!plan(ipam, "").unwrap().profile.provided.contains_key(&12));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let long = format!(
            r#"{{"provide":[{{"option":"60","value":"{}"}}]}}"#,
            "x".repeat(256)
        );
        for ipam in [
            r#"{"request":[{"option":"router"}]}"#,
            r#"{"provide":[{"option":"256","value":"x"}]}"#,
            r#"{"suppress":["dns"]}"#,
            r#"{"ipFamily":5}"#,
            r#"{"hostname":"a b"}"#,
            r#"{"clientID":"{nobody}"}"#,
            &long,
        ] {
            let failure = plan(ipam, "").unwrap_err();
            assert_eq!(failure.code().0, 7, "{ipam}");
        }
    }
}
