//! Plain connections on the loopback addresses from ports of the kernel's choice, half of which pods publish.

use linkspan_harness::world::set_sysctl;

use crate::Kind;
use crate::answer::Answer;
use crate::conversation::{Conversation, First, Row, Transport};
use crate::pods::Pods;
use crate::stage::Stage;

pub(crate) const KIND: Kind = Kind { build, ask };

/// The ports that the kernel chooses from, and the number of published ones among them.
const FIRST: u16 = 40000;
const LAST: u16 = 40599;
const PUBLISHED: u16 = 300;

/// The number of calls for each transport and family.
const CALLS: usize = 300;

/// Calls stop after this many failures: each lost one takes until its deadline.
const PATIENCE: usize = 3;

pub(crate) fn pods() -> Pods {
    Pods::of((FIRST..FIRST + PUBLISHED).collect())
}

fn build(stage: &mut Stage<'_>) {
    let range = format!("{FIRST} {LAST}");
    set_sysctl(stage.lab.host(), "ipv4/ip_local_port_range", &range);
}

fn ask(stage: &Stage<'_>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for server in ["127.0.0.1:9000", "[::1]:9000"] {
        for transport in [Transport::Tcp, Transport::Udp] {
            let address = server.parse().unwrap();
            let row = Row {
                transport,
                caller: "host",
                from: None,
                to: address,
                server: Some(("host", address)),
                seen: None,
            };
            answers.push(Answer {
                what: row.to_string(),
                right: format!("{CALLS} answered"),
                got: calls(stage, &row),
            });
        }
    }
    answers
}

fn calls(stage: &Stage<'_>, row: &Row<'_>) -> String {
    let (mut answered, mut from_published, mut lost) = (0, 0, 0);
    while answered + lost < CALLS && lost < PATIENCE {
        let heard = Conversation::open(stage, row).and_then(|mut conversation| {
            conversation.speak(First::Server)?;
            Ok(conversation.port())
        });
        match heard {
            Ok(port) => {
                answered += 1;
                from_published += usize::from(port < FIRST + PUBLISHED);
            }
            Err(_) => lost += 1,
        }
    }
    // Some hundred are expected.
    if lost == 0 && from_published < CALLS / 10 {
        return format!("only {from_published} from published ports");
    }
    match lost {
        0 => format!("{answered} answered"),
        _ => format!("{answered} answered and {lost} lost"),
    }
}
