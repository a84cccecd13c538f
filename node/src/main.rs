//! The binary `linkspan-node`: its command line, and the agent.

use std::io::{Write, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ipnetwork::IpNetwork;
use linkspan_node::agent::{Settings, run};

/// Makes one network of a cluster's nodes: routes to the other nodes' parts, and the node's own list.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Name of the node that it runs on.
    #[arg(long, env = "NODE_NAME")]
    node: String,
    /// The API server as https://HOST:PORT, where the pod's own variables do not lead to it.
    #[arg(long, env = "API_SERVER")]
    server: Option<String>,
    /// The networks that the cluster's parts are taken from; those that no part is in do no harm.
    #[arg(long, env = "CLUSTER_CIDRS", value_delimiter = ',', required = true)]
    cluster_cidrs: Vec<IpNetwork>,
    /// The file of the node's list.
    #[arg(long, default_value = "/etc/cni/net.d/10-linkspan.conflist")]
    list: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = Settings {
        node: arguments.node,
        server: arguments.server.filter(|server| !server.is_empty()),
        cluster: arguments.cluster_cidrs,
        list: arguments.list,
    };
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => match writeln!(stderr(), "linkspan-node: {err}") {
            Ok(()) | Err(_) => ExitCode::FAILURE,
        },
    }
}
