//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::agent::Settings;
use crate::api::Server;
use crate::log::Log;
use crate::ways::Mode;

/// Makes one network of a cluster's nodes: routes to the other nodes' parts, masquerade, and the node's own list.
#[derive(Debug, Parser)]
#[command(name = "linkspan-node", version)]
pub struct Arguments {
    /// Name of the node that it runs on
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node: String,
    /// The API server, where the pod's own variables do not lead to it
    #[arg(long, env = "API_SERVER", value_name = "https://HOST:PORT")]
    server: Option<String>,
    /// Its host, as every pod is told it
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", hide = true)]
    service_host: Option<String>,
    /// Its port, as every pod is told it
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
    /// How other nodes are reached: auto tunnels to those that are not on a link of this node
    #[arg(long, env = "MODE", value_enum, default_value = "auto")]
    mode: Ways,
    /// The file of the node's list
    #[arg(
        long,
        default_value = "/etc/cni/net.d/10-linkspan.conflist",
        value_name = "FILE"
    )]
    list: PathBuf,
    /// A list whose first plugin gets the ranges, routes and MTU that it lacks; by default ptp with portmap
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// The suite, which judges the list before it is written
    #[arg(long, value_name = "FILE")]
    linkspan: Option<PathBuf>,
    /// Directory of leases, which are compared with the node's parts
    #[arg(long, default_value = "/var/lib/cni/networks", value_name = "DIR")]
    leases: PathBuf,
    /// Where /healthz, /readyz and /metrics are answered
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
    /// As the agent takes them.
    pub fn settings(self) -> Settings {
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
        }
    }
}
