//! Getting leases for an attachment: of each family that it asks for, or none.

use std::time::Duration;

use futures_util::future::join;
use tokio::time::Instant;

use super::Daemon;
use crate::answer;
use crate::complain::complain;
use crate::conf::Plan;
use crate::exchange::{Client, blocking, persist};
use crate::lease::Lease4;
use crate::release;
use crate::six::{self, lease::Lease6};
use crate::trouble::Trouble;

impl Daemon {
    /// The lease of each family that is asked for.
    pub(super) async fn acquire(
        &self,
        client: &Client,
        plan: &Plan,
    ) -> Result<(Option<Lease4>, Option<Lease6>), Trouble> {
        let turn = self.leases.turns.acquire().await;
        let _turn = turn.map_err(|_closed| Trouble::Cancelled)?;
        let four = async {
            if !plan.families.four {
                return Ok(None);
            }
            self.acquire_four(client, plan.timeout).await.map(Some)
        };
        let six = async {
            if !plan.families.six {
                return Ok(None);
            }
            let patience = self.patience(plan.timeout6);
            six::acquire(client, patience).await.map(Some)
        };
        let (four, six) = join(four, six).await;
        match (four, six) {
            (Ok(four), Ok(six)) => Ok((four, six)),
            (Ok(four @ Some(_)), Err(err)) if plan.families.partial => {
                complain(&format!(
                    "no IPv6 address for {}: {err}",
                    client.spot.ifname
                ));
                Ok((four, None))
            }
            (Err(err), Ok(six @ Some(_))) if plan.families.partial => {
                complain(&format!(
                    "no IPv4 address for {}: {err}",
                    client.spot.ifname
                ));
                Ok((None, six))
            }
            (four, six) => {
                self.give_up(client, four.as_ref().ok(), six.as_ref().ok())
                    .await;
                let err = four.err().or_else(|| six.err());
                Err(err.unwrap_or(Trouble::NoTries))
            }
        }
    }

    /// Gives back the address of one family, since there is none of the other.
    async fn give_up(
        &self,
        client: &Client,
        four: Option<&Option<Lease4>>,
        six: Option<&Option<Lease6>>,
    ) {
        let (four, six) = (four.cloned().flatten(), six.cloned().flatten());
        let client = client.clone();
        let given = blocking(move || {
            let four = four.map_or(Ok(()), |lease| release::of_client(&client, &lease));
            let six = six.map_or(Ok(()), |lease| lease.release(&client.spot));
            four.and(six)
        });
        if let Err(err) = given.await {
            complain(&format!("release: {err}"));
        }
    }

    /// An address, by as many attempts as there is time for.
    async fn acquire_four(
        &self,
        client: &Client,
        own: Option<Duration>,
    ) -> Result<Lease4, Trouble> {
        let patience = self.patience(own);
        let deadline = Instant::now() + patience.whole;
        let (ifname, pause) = (&client.spot.ifname, patience.longest_pause);
        let attempt = async || client.acquire(None, deadline).await;
        let lease = persist(ifname, pause, deadline, attempt).await?;
        if answer::address(&lease.ack).is_some() {
            return Ok(lease);
        }
        let client = client.clone();
        blocking(move || release::of_client(&client, &lease)).await?;
        let text = "DHCP option Subnet Mask not found in DHCPACK";
        Err(Trouble::Answer(text.to_owned()))
    }
}
