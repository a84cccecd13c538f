//! The connection to the API server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::{Client, Config};

use crate::error::{Error, Result};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the API server is, and who asks it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address; one of the form `https://HOST:PORT`.
    pub address: Option<String>,
    /// Its host and port as every pod is told them, which work where the cluster's services do.
    pub service: Option<(String, u16)>,
    /// The directory of the service account: `token`, which is read anew while it changes, and `ca.crt`.
    pub account: PathBuf,
}

/// Connects; nothing is asked yet. Without an account the server is asked without credentials.
pub fn client(server: &Server) -> Result<Client> {
    let address = match (&server.address, &server.service) {
        (Some(address), _) => address.clone(),
        (None, Some((host, port))) if host.contains(':') => format!("https://[{host}]:{port}"),
        (None, Some((host, port))) => format!("https://{host}:{port}"),
        (None, None) => {
            let told = "nothing tells of an API server: run it in a pod, or name --server";
            return Err(Error::Settings(told.to_owned()));
        }
    };
    let uri = address.parse().map_err(|_not_a_uri| {
        let told = format!("--server {address} is not an address of the form https://HOST:PORT");
        Error::Settings(told)
    })?;
    let mut config = Config::new(uri);
    config.connect_timeout = Some(PATIENCE);
    let (token, authority) = (server.account.join("token"), server.account.join("ca.crt"));
    if token.exists() {
        config.auth_info.token_file = Some(token.display().to_string());
    }
    if authority.exists() {
        config.root_cert = Some(certificates(&authority)?);
    }
    Ok(Client::try_from(config)?)
}

fn certificates(file: &Path) -> Result<Vec<Vec<u8>>> {
    let text = fs::read(file).map_err(Error::file(file))?;
    let parsed = pem::parse_many(text)
        .map_err(|err| Error::Settings(format!("{}: {err}", file.display())))?;
    Ok(parsed.into_iter().map(pem::Pem::into_contents).collect())
}
