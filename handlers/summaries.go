package handlers

// summaries are the document's one-line descriptions.
var summaries = map[string]string{}
