//! libFuzzer, looking for an input that breaks [`proxy_protocol`](cloud_cup_fuzz::proxy_protocol).

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cloud_cup_fuzz::proxy_protocol::check(input));
