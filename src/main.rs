fn main() {
    for crd in centrex::resources::crd::all() {
        println!("{}", serde_json::to_string_pretty(&centrex::resources::crd::tidy(&crd).unwrap()).unwrap());
    }
}
