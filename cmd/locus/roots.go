package main

// Certificates of authorities, for where the system has none, such as in an image that holds this program alone.
import _ "golang.org/x/crypto/x509roots/fallback"
