package identity

import "strings"

// reservedNames are labels nobody gets under a service domain by signing up: host names that mail, certificate and web
// software treat specially (RFC 2142 and habit), words that would pass for the service itself, and a few that make bad
// URLs. A tenant changes the list by its policy; operators pass it over.
var reservedNames = func() map[string]bool {
	m := map[string]bool{}
	for _, name := range strings.Fields(reservedList) {
		m[name] = true
	}
	return m
}()

const reservedList = `
abuse access account accounts activate ad admin administration administrator administrators admins ads affiliate
affiliates alert alerts analytics anonymous anyone announcement announcements announce api apis app appeal appeals
apps archive asset assets at-proto atproto audit auth authenticate authentication authority authorization authorize
autoconfig autodiscover avatar backup banking billing blob blobs blog bluesky board bot bots broadcasthost bsky bug
bugs business cache careers cdn certificate certificates changelog chat checkout client code community compliance
config configuration connect console contact contributors cookies copyright core corp credential credentials cron
customer customer-service daemon dashboard data database db debug default delete demo deleted deploy deployment dev
developer developers devices did discover discovery dmca dns docs documentation domain domains donate download
downloads edit email emails embed enterprise error errors event events everyone example explore export faq feed
feedback feeds finger firehose follow follower followers following forgot forum forums founder founders ftp gateway
git group groups guest guests guide guidelines handle handles health help helpdesk helpers home host hosting hostmaster
hosts http https icon icons identity image images imap import inbox index info infra insight invalid invite invites
ipv4 ipv6 isatap issue issues job jobs jwks jwt key keys knot label labeler labels ldap legal lexicon license list
lists load-balancer localdomain localhost log login logout logs mail mailer mailer-daemon mailserver main
maintenance manage manager marketing master me media member members mention mentions message messages metrics mobile
mod moderate moderation moderator moderators mods monitor monitoring mta-sts mx mysql myself name names network news
newsletter no-reply nobody noc none noreply notice notification notifications ns ns0 ns1 ns2 ns3 ns4 null nobody
oauth official officials openid operator operators ops order orders org organization owner owners page pages partner
partners passkey password passwords pay payment payments pds phishing ping platform plc policies policy pop pop3 portal post postgres
postmaster posts preferences press preview pricing privacy private prod production profile profiles proxy public
push query recover recovery redirect refund refunds register registration relay report reports repo repos repository
reserved reset resolve root router rss rules safety sales sandbox schema script search secure security self server
service services session sessions settings setup shop sign-in sign-up signin signout signup site sitemap smtp social
ssh ssl ssladmin ssladministrator sslwebmaster staff stage staging stat static statistics stats status storage store
stream subdomain subscribe sudo super superuser support suspended svn sync sys sysadmin sysadministrator system team
teams tech telnet tenant tenants terms terms-of-service test tester testing tests tls token tokens tools tos trust
trust-and-safety undefined unsubscribe update updates upload uploads usenet user username users uucp verification
verified verify video vpn wallet web webhook webhooks webmail webmaster well-known whois widget wiki wpad www www1
www2 xrpc you your yourself
`
