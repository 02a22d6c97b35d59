//! The providers' manuals as exchanges (testdata/manuals) judge the client and the emulator, which know nothing of each other
//! here: the client is answered what the manual prints, the emulator is sent what the manual demands.

/// Has a test for each provider call a function with it.
macro_rules! for_each_provider {
    ($judge:ident) => {
        #[test]
        fn open_hosting() {
            $judge(Provider::OpenHosting);
        }

        #[test]
        fn crosspeer() {
            $judge(Provider::Crosspeer);
        }

        #[test]
        fn cloudsigma() {
            $judge(Provider::CloudSigma);
        }

        #[test]
        fn spotcloud() {
            $judge(Provider::SpotCloud);
        }

        #[test]
        fn joyent() {
            $judge(Provider::Joyent);
        }
    };
}
pub(crate) use for_each_provider;

mod client;
mod complete;
mod credentials;
mod emulator;
mod golden;
mod node;
mod parse;
#[allow(dead_code, reason = "other suites use the rest")]
#[path = "../calls/recorder.rs"]
mod recorder;
mod refused;
mod serving;
mod strict;
mod template;
mod variants;
mod wire;
#[allow(dead_code, reason = "other suites use the rest")]
#[path = "../calls/world.rs"]
mod world;
