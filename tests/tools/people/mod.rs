//! What people and scripts see: a real terminal, a pipe, a file, a list, a setting.

mod terminal;

mod completions;
mod ends;
mod hostile;
mod live;
mod lost;
mod pipes;
mod recipes;
mod settings;
mod show;
mod waits;
