//! libFuzzer, looking for an input that breaks [`grpc_web`](cloud_cup_fuzz::grpc_web).

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cloud_cup_fuzz::grpc_web::check(input));
