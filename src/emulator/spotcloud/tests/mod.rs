//! The calls over a real socket.
