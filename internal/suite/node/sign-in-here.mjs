// node sign-in-here.mjs URL HANDLE DID PASSWORD REDIRECT: goes through the pages, and prints where they led. For drivers that are not of node.
import { signIn } from './sign-in.mjs'

const [url, handle, did, password, redirect] = process.argv.slice(2)
console.log((await signIn(url, { handle, did, password }, redirect)).href)
process.exit(0)
