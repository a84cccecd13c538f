//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum, value_parser};

use crate::agent::Settings;
use crate::api::Server;
use crate::log::Log;
use crate::sweep::{self, EVERY};
use crate::ways::Mode;

/// Makes one network of a cluster's nodes: routes to the other nodes' parts, masquerade, and the node's own list.
#[derive(Debug, Parser)]
#[command(name = "linkspan-node", version)]
pub struct Arguments {
    /// Name of the node that the agent runs on
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node: String,
    /// The API server, if the pod's own variables do not lead to it
    #[arg(long, env = "API_SERVER", value_name = "https://HOST:PORT")]
    server: Option<String>,
    /// Its host, from the pod's environment
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", hide = true)]
    service_host: Option<String>,
    /// Its port, from the pod's environment
    #[arg(
        long,
        env = "KUBERNETES_SERVICE_PORT",
        hide = true,
        default_value = "443"
    )]
    service_port: u16,
    /// Directory of the service account
    #[arg(
        long,
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount",
        value_name = "DIR"
    )]
    account: PathBuf,
    /// How to reach other nodes: auto tunnels to those that are not on a link of this node
    #[arg(long, env = "MODE", value_enum, default_value = "auto")]
    mode: Ways,
    /// The file of the node's list
    #[arg(
        long,
        default_value = "/etc/cni/net.d/10-linkspan.conflist",
        value_name = "FILE"
    )]
    list: PathBuf,
    /// A list whose first plugin gets missing ranges, routes and the MTU; by default ptp with portmap
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// The suite, which judges the list before it is written
    #[arg(long, value_name = "FILE")]
    linkspan: Option<PathBuf>,
    /// Directory of leases, which are compared with the node's parts
    #[arg(long, default_value = "/var/lib/cni/networks", value_name = "DIR")]
    leases: PathBuf,
    /// Directory of remembered results
    #[arg(long, default_value = "/var/lib/cni", value_name = "DIR")]
    cache_dir: PathBuf,
    /// The CRI socket of the node's engine, for its living sandboxes; may be repeated
    #[arg(long, value_name = "FILE", requires_all = ["pod_uid", "linkspan"])]
    cri: Vec<PathBuf>,
    /// UID of the agent's own pod: the engine that runs it counts
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pod_uid: Option<String>,
    /// Time between two looks at the sandboxes; with less than four minutes, a pod that starts slowly counts as gone
    #[arg(long, default_value_t = EVERY.as_secs(), value_name = "SECONDS", value_parser = value_parser!(u64).range(1..))]
    cri_every: u64,
    /// Address that serves /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    health: Option<SocketAddr>,
    /// Form of the log
    #[arg(long, env = "LOG", value_enum, default_value = "text")]
    log: Form,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ways {
    Auto,
    Direct,
    Vxlan,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Json,
}

impl Arguments {
    /// The agent's settings.
    pub fn settings(self) -> Settings {
        let sweep = match (self.pod_uid, &self.linkspan) {
            (Some(pod), Some(linkspan)) if !self.cri.is_empty() => Some(sweep::Settings {
                sockets: self.cri,
                pod,
                every: Duration::from_secs(self.cri_every),
                linkspan: linkspan.clone(),
                list: self.list.clone(),
                leases: self.leases.clone(),
                cache: self.cache_dir,
            }),
            _ => None,
        };
        Settings {
            node: self.node,
            server: Server {
                address: self.server.filter(|server| !server.is_empty()),
                service: self.service_host.map(|host| (host, self.service_port)),
                account: self.account,
            },
            mode: match self.mode {
                Ways::Auto => Mode::Auto,
                Ways::Direct => Mode::Direct,
                Ways::Vxlan => Mode::Vxlan,
            },
            list: self.list,
            template: self.template,
            linkspan: self.linkspan,
            leases: self.leases,
            health: self.health,
            log: match self.log {
                Form::Text => Log::Text,
                Form::Json => Log::Json,
            },
            sweep,
        }
    }
}
