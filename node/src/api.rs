//! The connection to the API server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::{Client, Config};

use crate::error::{Error, Result};

/// The time limit of a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The API server's place, and the agent's account.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address, in the form `https://HOST:PORT`.
    pub address: Option<String>,
    /// Its host and port from a pod's environment, which need working cluster services.
    pub service: Option<(String, u16)>,
    /// The directory of the service account: `token`, which is read again as it changes, and `ca.crt`.
    pub account: PathBuf,
}

/// Makes a client, without a request yet. Without an account, requests have no credentials.
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
