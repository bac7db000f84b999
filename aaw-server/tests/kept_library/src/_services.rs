pub struct App {
    pub greeting: String,
}

pub fn services() -> App {
    App { greeting: "Hello".to_owned() }
}
