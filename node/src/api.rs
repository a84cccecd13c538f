//! The connection to the API server.

use kube::{Client, Config};

use crate::error::{Error, Result};

/// Connects as the pod's service account. `server` takes the place of the address that the pod is told, which works only
/// where the cluster's services do; without an account, that server is asked without credentials.
pub fn client(server: Option<&str>) -> Result<Client> {
    let inside = Config::incluster();
    let server = server.map(|server| {
        let told = format!("--server {server} is not an address of the form https://HOST:PORT");
        server.parse().map_err(|_not_a_uri| Error::Settings(told))
    });
    let config = match (inside, server.transpose()?) {
        (Ok(config), None) => config,
        (Ok(config), Some(server)) => Config {
            cluster_url: server,
            ..config
        },
        (Err(_), Some(server)) => Config::new(server),
        (Err(err), None) => {
            let told = format!("{err}: run it in a pod, or name --server");
            return Err(Error::Settings(told));
        }
    };
    Ok(Client::try_from(config)?)
}
