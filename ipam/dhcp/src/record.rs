//! What is remembered of a lease, as lines of text. A later release may add lines; those of an unknown name are skipped.

use std::path::PathBuf;
use std::time::Duration;

use linkspan_netlink::netns::NetnsId;
use linkspan_owner::boot::BootId;
use linkspan_owner::home::Home;

use crate::clock::Moment;
use crate::conf::Profile;
use crate::identity::Names;
use crate::six::lease::Lease6;
use crate::wire::message::Message;
use crate::wire::option;

const HEADER: &str = "linkspan-dhcp 1";
const END: &str = "end";

/// A lease without option 51 lasts as long as the reference has it.
const HOUR: Duration = Duration::from_secs(3600);
/// Option 51 of a lease without an end.
const FOREVER: u32 = u32::MAX;

/// When a lease has to be renewed, rebound and given up. A lease without an end has none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) t1: Moment,
    pub(crate) t2: Moment,
    pub(crate) expiry: Moment,
}

/// A lease of DHCP for IPv4: the server's last answer, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease4 {
    pub(crate) ack: Message,
    /// Hardware address of the server, or of the relay.
    pub(crate) server_mac: [u8; 6],
    pub(crate) obtained: Moment,
}

/// What is remembered of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) names: Names,
    /// The namespace's path as the plugin was given it.
    pub(crate) netns: PathBuf,
    /// Which namespace that was.
    pub(crate) id: NetnsId,
    /// The same for the judge of life.
    pub(crate) home: Option<Home>,
    pub(crate) profile: Profile,
    /// Option 61.
    pub(crate) client: Vec<u8>,
    pub(crate) four: Option<Lease4>,
    pub(crate) six: Option<Lease6>,
}

impl Lease4 {
    /// When to do what; nothing for a lease without an end.
    pub(crate) fn times(&self) -> Option<Times> {
        let told = self.ack.seconds(option::LEASE);
        if told == Some(FOREVER) {
            return None;
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let lease = told.map_or(HOUR, seconds);
        Some(Times::of(
            self.obtained,
            lease,
            self.ack.seconds(option::T1).map(seconds),
            self.ack.seconds(option::T2).map(seconds),
        ))
    }
}

impl Times {
    /// Of a lease; times of the server that contradict each other are replaced by the usual ones.
    pub(crate) fn of(
        obtained: Moment,
        lease: Duration,
        t1: Option<Duration>,
        t2: Option<Duration>,
    ) -> Self {
        let t2 = t2.filter(|t2| *t2 <= lease).unwrap_or(lease * 85 / 100);
        let t1 = t1.filter(|t1| *t1 <= t2).unwrap_or((lease / 2).min(t2));
        Self {
            t1: obtained.after(t1),
            t2: obtained.after(t2),
            expiry: obtained.after(lease),
        }
    }
}

impl Record {
    /// As a file holds it.
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
        line(END, "");
        lines.join("\n").trim_end().to_owned() + "\n"
    }

    /// Reads a file, and the boot that it is of; nothing where it is no whole record.
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
            "lease6" => self.six = Some(Lease6::parse(value)?),
            _ => {}
        }
        Some(())
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

/// Bytes of hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let pairs = digits.chunks_exact(2).filter_map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    Some(pairs.collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::message::Kind;
    use crate::wire::option::Options;

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
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_cut_one_is_none() {
        let boot = Some(BootId([7; 16]));
        let text = sample("c", 100).text(boot);
        assert_eq!(Record::parse(&text), Some((boot, sample("c", 100))));
        let later = text.replace("\nclient ", "\nlater x y\nclient ");
        assert_eq!(Record::parse(&later), Some((boot, sample("c", 100))));
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
