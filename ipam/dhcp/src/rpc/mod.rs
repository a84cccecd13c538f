//! The reference's remote procedure calls: Go's `net/rpc` over a unix socket, so that plugins and daemons of both
//! suites can be mixed.
//!
//! The client sends [`HELLO`], and the server answers [`WELCOME`]. After that both send gob messages. A call is a
//! header and [`Args`]; an answer is a header, possibly with an error, and a result.

mod result;
mod types;

use linkspan_protocol::result::AddResult;

use crate::gob::Value;
use types::{ARGS, EMPTY, REQUEST, RESPONSE, RESULT};

pub(crate) use result::read as result;

/// The client's greeting.
pub(crate) const HELLO: &[u8] = b"CONNECT /_goRPC_ HTTP/1.0\n\n";
/// The server's answer to the greeting.
pub(crate) const WELCOME: &[u8] = b"HTTP/1.0 200 Connected to Go RPC\n\n";

/// Obtains an address for the attachment, or returns the existing one.
pub(crate) const ALLOCATE: &str = "DHCP.Allocate";
/// Releases the address.
pub(crate) const RELEASE: &str = "DHCP.Release";
/// Our own call: returns the attachment's lease, and fails if there is none.
pub(crate) const LOOK: &str = "DHCP.Look";
/// Our own call: releases the addresses of all attachments that are not valid.
pub(crate) const COLLECT: &str = "DHCP.Collect";

/// The prefix of Go's error for an unknown method.
pub(crate) const NO_METHOD: &str = "rpc: can't find ";

/// The plugin's input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Args {
    /// `CNI_CONTAINERID`
    pub(crate) container: String,
    /// `CNI_NETNS`
    pub(crate) netns: String,
    /// `CNI_IFNAME`
    pub(crate) ifname: String,
    /// `CNI_ARGS`
    pub(crate) pairs: String,
    /// The configuration.
    pub(crate) stdin: Vec<u8>,
}

/// The header of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The method.
    pub(crate) method: String,
    /// The number of the call.
    pub(crate) seq: u64,
    /// In an answer: the error, or empty.
    pub(crate) error: String,
}

impl From<&Value> for Args {
    fn from(value: &Value) -> Self {
        Self {
            container: value.text("ContainerID"),
            netns: value.text("Netns"),
            ifname: value.text("IfName"),
            pairs: value.text("Args"),
            stdin: value.bytes("StdinData").to_vec(),
        }
    }
}

impl From<&Value> for Header {
    fn from(value: &Value) -> Self {
        Self {
            method: value.text("ServiceMethod"),
            seq: value
                .int("Seq")
                .and_then(|seq| seq.try_into().ok())
                .unwrap_or_default(),
            error: value.text("Error"),
        }
    }
}

/// The first call on a connection, with type definitions.
pub(crate) fn call(method: &str, args: &Args) -> Vec<u8> {
    let mut out = Vec::new();
    REQUEST.define(&mut out);
    REQUEST.value(&mut out, |fields| fields.text(0, method));
    ARGS.define(&mut out);
    ARGS.value(&mut out, |fields| {
        fields.text(0, &args.container);
        fields.text(1, &args.netns);
        fields.text(2, &args.ifname);
        fields.text(3, &args.pairs);
        fields.bytes(6, &args.stdin);
    });
    out
}

/// The answers on one connection. Each type definition is sent once.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    header: bool,
    result: bool,
    empty: bool,
}

impl Answers {
    /// The answer to a call: a result, success without a result, or an error.
    pub(crate) fn answer(
        &mut self,
        call: &Header,
        outcome: Result<Option<&AddResult>, &str>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.header, true) {
            RESPONSE.define(&mut out);
        }
        RESPONSE.value(&mut out, |fields| {
            fields.text(0, &call.method);
            fields.uint(1, call.seq);
            fields.text(2, outcome.err().unwrap_or_default());
        });
        if let Ok(Some(result)) = outcome {
            if !std::mem::replace(&mut self.result, true) {
                RESULT.define(&mut out);
            }
            RESULT.value(&mut out, |fields| result::write(fields, result));
        } else {
            if !std::mem::replace(&mut self.empty, true) {
                EMPTY.define(&mut out);
            }
            EMPTY.value(&mut out, |_none| {});
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gob::read::Reader;
    use crate::hex;
    use linkspan_protocol::addr::Cidr;
    use linkspan_protocol::result::{IpConfig, Route};

    fn unhex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        hex::unhex(&digits).unwrap()
    }

    fn sample() -> AddResult {
        let route = Route {
            priority: 7,
            ..Route::via(
                Cidr::parse("0.0.0.0/0").unwrap(),
                Some([10, 8, 0, 1].into()),
            )
        };
        AddResult {
            ips: vec![IpConfig {
                interface: None,
                address: Cidr::parse("10.8.0.50/24").unwrap(),
                gateway: Some([10, 8, 0, 1].into()),
            }],
            routes: vec![route],
            ..AddResult::default()
        }
    }

    /// Recorded messages of the reference's plugin and daemon.
    #[test]
    fn a_call_and_an_answer_have_the_bytes_of_the_reference() {
        let args = Args {
            container: "c1".to_owned(),
            netns: "/n".to_owned(),
            ifname: "eth0".to_owned(),
            pairs: "A=1".to_owned(),
            stdin: b"{}".to_vec(),
        };
        let sent = call(ALLOCATE, &args);
        let start = unhex(
            "2e7f030101075265717565737401ff800001020 10d536572766963654d6574686f64010c0001035365710106000000
             12ff80010d444843502e416c6c6f6361746500
             6cff8103010107436d644172677301ff82000107010b436f6e7461696e65724944010c0001054e65746e73010c000106
             49664e616d65010c00010441726773010c00010450617468010c00010d4e65746e734f76657272696465010c000109
             5374 64696e44617461010a000000",
        );
        assert_eq!(&sent[..start.len()], &start[..]);
        let told = Answers::default().answer(
            &Header {
                method: ALLOCATE.to_owned(),
                ..Header::default()
            },
            Ok(Some(&sample())),
        );
        let want = unhex(
            "397f03010108526573706f6e736501ff80000103010d536572766963654d6574686f64010c00010353657101060001
             054572726f72010c000000 12ff80010d444843502e416c6c6f6361746500
             51ff8103010106526573756c7401ff82000105010a434e4956657273696f6e010c00010a496e746572666163657301
             ff8600010349507301ff8c000106526f7574657301ff90000103444e5301ff92000000
             24ff85020101155b5d2a74797065733130302e496e7465726661636501ff860001ff840000",
        );
        assert_eq!(&told[..want.len()], &want[..]);
        let end = unhex(
            "35ff82030102010 40a0800320104ffffff0000 01040a08000100010101010400000000010400000000 0001040a080001030e0001 0000",
        );
        assert_eq!(&told[told.len() - end.len()..], &end[..]);
    }

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let header = Header {
            method: ALLOCATE.to_owned(),
            seq: 300,
            error: String::new(),
        };
        let mut result_in = sample();
        result_in.routes.push(Route::via(
            Cidr::parse("::/0").unwrap(),
            Some("fe80::1".parse().unwrap()),
        ));
        result_in.dns.nameservers = vec!["10.8.0.1".to_owned(), "fd00::1".to_owned()];
        result_in.dns.domain = "lan".to_owned();
        result_in.dns.search = vec!["lan".to_owned()];
        let told = Answers::default().answer(&header, Ok(Some(&result_in)));
        let (mut reader, mut rest, mut values) = (Reader::default(), &told[..], Vec::new());
        while !rest.is_empty() {
            let mut bytes = crate::gob::read::Bytes(rest);
            let length = usize::try_from(bytes.uint().unwrap()).unwrap();
            let (message, after) = bytes.0.split_at(length);
            values.extend(reader.message(message).unwrap());
            rest = after;
        }
        assert_eq!(Header::from(&values[0]), header);
        assert_eq!(result(&values[1]).unwrap(), result_in);
    }
}
