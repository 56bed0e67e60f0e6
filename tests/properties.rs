//! Properties that hold for every input, found by random search. A failing input is shrunk and printed. One module per room.

#[path = "properties/hostile.rs"]
mod hostile;
#[path = "properties/translate.rs"]
mod translate;
#[path = "properties/universe.rs"]
mod universe;
