//! The command line of diskferry.

fn main() {}
