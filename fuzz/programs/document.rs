//! libFuzzer, looking for an input that breaks [`document`](cloud_cup_fuzz::document).

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cloud_cup_fuzz::document::check(input));
