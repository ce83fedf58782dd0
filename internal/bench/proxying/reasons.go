package main

// reasons are why ours differs; docs/compatibility.md tells them.
var reasons = []reason{}
