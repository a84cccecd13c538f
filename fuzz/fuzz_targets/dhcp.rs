//! The target `dhcp` of `tests/hostile`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkspan_hostile::target("dhcp")(data));
