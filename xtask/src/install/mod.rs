mod layout;
mod manifest;
mod manual;
mod texts;
