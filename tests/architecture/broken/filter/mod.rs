pub fn f() {
    println!("{}", crate::edge::plan::g());
    super::store::h();
}
