//! The trace that a call is a part of, as `TRACEPARENT` has it (W3C Trace Context, level 1).

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    /// 32 hexadecimal digits.
    pub(super) trace: String,
    /// The caller's span: 16 hexadecimal digits.
    pub(super) parent: String,
    pub(super) flags: u8,
    /// `TRACESTATE`, which is handed on as it is.
    pub(super) state: String,
}

impl Context {
    /// `VERSION-TRACE-SPAN-FLAGS`. A later version may have more behind it; none is read out of a malformed one.
    pub(super) fn parse(parent: &str, state: String) -> Option<Self> {
        let mut parts = parent.trim().split('-');
        let mut part = |length: usize| {
            let part = parts.next()?;
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            (part.len() == length && part.bytes().all(is_hex)).then_some(part)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let is_first = version == "00";
        let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
        if version == "ff" || is_zero(trace) || is_zero(span) {
            return None;
        }
        if is_first && parts.next().is_some() {
            return None;
        }
        Some(Self {
            trace: trace.to_owned(),
            parent: span.to_owned(),
            flags: u8::from_str_radix(flags, 16).ok()?,
            state,
        })
    }

    /// Whether the caller records this trace.
    pub(super) fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// The value of `TRACEPARENT` for what the span `span` calls.
    pub(super) fn below(&self, span: &str) -> String {
        format!("00-{}-{span}-{:02x}", self.trace, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_context_is_taken_apart_and_handed_on() {
        let text = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let context = Context::parse(&text, String::new()).unwrap();
        assert_eq!(context.trace, TRACE);
        assert_eq!(context.parent, "00f067aa0ba902b7");
        assert!(context.is_sampled());
        let below = context.below("0000000000000001");
        assert_eq!(below, format!("00-{TRACE}-0000000000000001-01"));
        let later = format!("01-{TRACE}-00f067aa0ba902b7-00-more");
        let later = Context::parse(&later, String::new()).unwrap();
        assert!(!later.is_sampled());
    }

    #[test]
    fn a_malformed_context_is_none() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{zeros}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-é"),
        ] {
            assert_eq!(Context::parse(&text, String::new()), None, "{text}");
        }
    }
}
