//! Interfaces for people and scripts: terminals, pipes, files, lists and settings.

mod terminal;

mod completions;
mod ends;
mod hostile;
mod live;
mod lost;
mod names;
mod pipes;
mod project_file;
mod reasons;
mod recipes;
mod remedies;
mod settings;
mod show;
mod waits;
