//! Backup and restore as lists of steps with their undo. Nothing here opens a socket: clouds, Director,
//! servers and store arrive as traits.
