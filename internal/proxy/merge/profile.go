package merge

import (
	"context"

	"github.com/auroralocus/locus/internal/proxy/view"
)

func (m *merging) getProfile(context.Context) error {
	v := view.ActorProfileViewDetailed{Node: m.doc.Root()}
	if v.Fits() {
		m.detailed(v)
	}
	return nil
}

func (m *merging) getProfiles(context.Context) error {
	out := view.ActorGetProfiles{Node: m.doc.Root()}
	if !out.Fits() {
		return nil
	}
	for v := range out.Profiles().Views {
		m.detailed(v)
	}
	return nil
}

// detailed brings a whole profile up to date, counts included.
func (m *merging) detailed(v view.ActorProfileViewDetailed) {
	did := v.DID()
	if did != m.DID {
		addTo(v.Node, "followersCount", m.following(v.Node, did))
		return
	}
	if m.own.profile {
		m.setProfile(v.Node, "avatar", "banner")
	}
	addTo(v.Node, "postsCount", m.own.morePosts)
	addTo(v.Node, "followsCount", m.own.moreFollows)
}
