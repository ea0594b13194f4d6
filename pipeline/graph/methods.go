package graph

// methodNames are the methods that the front takes, in the order of Allow.
var methodNames = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
