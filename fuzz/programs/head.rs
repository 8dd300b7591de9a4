//! libFuzzer, looking for an input that breaks [`head`](cloud_cup_fuzz::head).

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cloud_cup_fuzz::head::check(input));
