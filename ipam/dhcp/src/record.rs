//! The record of a lease, as lines of text. A later release may add lines; unknown ones are skipped.

use std::path::PathBuf;

use linkspan_netlink::netns::NetnsId;
use linkspan_owner::boot::BootId;
use linkspan_owner::home::Home;

use crate::clock::Moment;
use crate::hex::{hex, unhex};
use crate::identity::Names;
use crate::lease::Lease4;
use crate::link::Spot;
use crate::profile::Profile;
use crate::six::lease::Lease6;
use crate::wire::message::Message;

const HEADER: &str = "linkspan-dhcp 1";
const END: &str = "end";

/// The record of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) names: Names,
    /// The namespace's path, as the plugin received it.
    pub(crate) netns: PathBuf,
    /// The namespace's identity.
    pub(crate) id: NetnsId,
    /// The namespace for the judge of life.
    pub(crate) home: Option<Home>,
    pub(crate) profile: Profile,
    /// Option 61.
    pub(crate) client: Vec<u8>,
    pub(crate) four: Option<Lease4>,
    pub(crate) six: Option<Lease6>,
    /// Whether the addresses are requested and not yet returned to a plugin.
    pub(crate) pending: bool,
}

impl Record {
    /// The location of the interface: in this record's namespace, which this process sees at `path`.
    pub(crate) fn spot(&self, path: PathBuf) -> Spot {
        Spot {
            path,
            ifname: self.names.ifname.clone(),
            id: Some(self.id),
        }
    }

    /// The record as a file's text.
    pub(crate) fn text(&self, boot: Option<BootId>) -> String {
        let mut lines = vec![HEADER.to_owned()];
        let mut line = |name: &str, value: &str| lines.push(format!("{name} {value}"));
        if let Some(boot) = boot {
            line("boot", &boot.to_string());
        }
        line("container", &self.names.container);
        line("network", &self.names.network);
        line("ifname", &self.names.ifname);
        line("netns", &hex(self.netns.as_os_str().as_encoded_bytes()));
        line("id", &format!("{} {}", self.id.dev, self.id.ino));
        if let Some(home) = self.home.as_ref().and_then(Home::text) {
            line("home", &home);
        }
        line("client", &hex(&self.client));
        line("asked", &hex(&self.profile.asked));
        if self.profile.broadcast {
            line("broadcast", "yes");
        }
        for (code, value) in &self.profile.provided {
            line("provided", &format!("{code} {}", hex(value)));
        }
        if let Some(lease) = &self.four {
            let (ack, mac) = (hex(&lease.ack.encode()), hex(&lease.server_mac));
            line("lease4", &format!("{} {mac} {ack}", lease.obtained.0));
        }
        if let Some(lease) = &self.six {
            line("lease6", &lease.text());
        }
        if self.pending {
            line("pending", "yes");
        }
        line(END, "");
        lines.join("\n").trim_end().to_owned() + "\n"
    }

    /// Parses a file into its boot and record; `None` unless the record is complete.
    pub(crate) fn parse(text: &str) -> Option<(Option<BootId>, Self)> {
        let mut lines = text.strip_suffix(&format!("\n{END}\n"))?.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let mut boot = None;
        let mut record = Self {
            names: Names::default(),
            netns: PathBuf::new(),
            id: NetnsId { dev: 0, ino: 0 },
            home: None,
            profile: Profile::default(),
            client: Vec::new(),
            four: None,
            six: None,
            pending: false,
        };
        for line in lines {
            let (name, value) = line.split_once(' ')?;
            match name {
                "boot" => boot = Some(BootId::parse(value)?),
                _ => record.read(name, value)?,
            }
        }
        let Names {
            container,
            network,
            ifname,
        } = &record.names;
        let is_named = ![container, network, ifname]
            .into_iter()
            .any(String::is_empty);
        let has_lease = record.four.is_some() || record.six.is_some();
        (is_named && has_lease).then_some((boot, record))
    }

    fn read(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "container" => value.clone_into(&mut self.names.container),
            "network" => value.clone_into(&mut self.names.network),
            "ifname" => value.clone_into(&mut self.names.ifname),
            "netns" => self.netns = String::from_utf8(unhex(value)?).ok()?.into(),
            "id" => {
                let (dev, ino) = value.split_once(' ')?;
                let (dev, ino) = (dev.parse().ok()?, ino.parse().ok()?);
                self.id = NetnsId { dev, ino };
            }
            "home" => self.home = Home::parse(value),
            "client" => self.client = unhex(value)?,
            "asked" => self.profile.asked = unhex(value)?,
            "broadcast" => self.profile.broadcast = true,
            "provided" => {
                let (code, value) = value.split_once(' ')?;
                let provided = &mut self.profile.provided;
                provided.insert(code.parse().ok()?, unhex(value)?);
            }
            "lease4" => {
                let mut words = value.split(' ');
                self.four = Some(Lease4 {
                    obtained: Moment(words.next()?.parse().ok()?),
                    server_mac: unhex(words.next()?)?.try_into().ok()?,
                    ack: Message::parse(&unhex(words.next()?)?)?,
                });
            }
            "pending" => self.pending = true,
            "lease6" => self.six = Some(Lease6::parse(value)?),
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::message::Kind;
    use crate::wire::option::{self, Options};

    /// A record of the attachment, with a lease of `seconds`.
    pub(crate) fn sample(container: &str, seconds: u32) -> Record {
        let options = Options::from([
            (option::LEASE, seconds.to_be_bytes().to_vec()),
            (option::MASK, vec![255, 255, 255, 0]),
            (option::SERVER, vec![10, 0, 0, 1]),
        ]);
        let ack = Message {
            reply: true,
            yours: [10, 0, 0, 9].into(),
            ..Message::new(Kind::Ack, 7, [2, 0, 0, 0, 0, 1], options)
        };
        Record {
            names: Names {
                container: container.to_owned(),
                network: "net".to_owned(),
                ifname: "eth0".to_owned(),
            },
            netns: "/run/netns/a b".into(),
            id: NetnsId { dev: 4, ino: 5 },
            home: None,
            profile: Profile {
                provided: Options::from([(12, b"x".to_vec()), (60, Vec::new())]),
                asked: vec![3, 1],
                broadcast: true,
            },
            client: b"\0c/net/eth0".to_vec(),
            four: Some(Lease4 {
                ack,
                server_mac: [2, 0, 0, 0, 0, 7],
                obtained: Moment(1_000),
            }),
            six: None,
            pending: false,
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_cut_one_is_none() {
        let boot = Some(BootId([7; 16]));
        let text = sample("c", 100).text(boot);
        assert_eq!(Record::parse(&text), Some((boot, sample("c", 100))));
        let later = text.replace("\nclient ", "\nlater x y\nclient ");
        assert_eq!(Record::parse(&later), Some((boot, sample("c", 100))));
        let pending = Record {
            pending: true,
            ..sample("c", 100)
        };
        assert_eq!(Record::parse(&pending.text(None)), Some((None, pending)));
        for cut in 0..text.len() {
            assert_eq!(Record::parse(&text[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn times_are_the_servers_where_they_make_sense() {
        let mut lease = sample("c", 100).four.unwrap();
        let times = |lease: &Lease4| {
            lease
                .times()
                .map(|times| [times.t1.0, times.t2.0, times.expiry.0])
        };
        assert_eq!(times(&lease), Some([51_000, 86_000, 101_000]));
        let mut set = |code, seconds: u32| {
            lease
                .ack
                .options
                .insert(code, seconds.to_be_bytes().to_vec());
            times(&lease)
        };
        assert_eq!(set(option::T1, 10), Some([11_000, 86_000, 101_000]));
        assert_eq!(set(option::T2, 20), Some([11_000, 21_000, 101_000]));
        assert_eq!(set(option::T1, 90), Some([21_000, 21_000, 101_000]));
        assert_eq!(set(option::T2, 200), Some([51_000, 86_000, 101_000]));
        assert_eq!(set(option::LEASE, u32::MAX), None);
    }
}
