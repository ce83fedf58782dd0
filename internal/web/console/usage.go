package console

import (
	"fmt"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/usage"
)

// registerUsage is the page of what is billed.
func (s *Server) registerUsage() {
	s.get(Root+"/usage", billing, (*Visit).usage)
	s.get(Root+"/t/{tenant}/usage", biller, (*Visit).usage)
}

// daysPerPage is how many lines are listed.
const daysPerPage = 100

// usagePage is a page of days.
type usagePage struct {
	From, To string
	Days     []usage.Day
	Next     string
}

func (v *Visit) usage() error {
	today := usage.DayOf(v.s.Now())
	p := &usagePage{From: v.Query("from"), To: v.Query("to")}
	if p.From == "" {
		p.From = today.AddDate(0, 0, -6).Format(time.DateOnly)
	}
	if p.To == "" {
		p.To = today.Format(time.DateOnly)
	}
	period, after := usage.Period{}, usage.Place{}
	if v.Tenant != nil {
		period.TenantID = v.Tenant.ID
	}
	var err error
	if period.From, err = usage.ParseDay(p.From); err == nil {
		period.To, err = usage.ParseDay(p.To)
	}
	if behind := v.Query("behind"); err == nil && behind != "" {
		var day string
		if _, err := fmt.Sscanf(behind, "%10s.%d", &day, &after.TenantID); err != nil {
			return notFound
		}
		after.Day, err = usage.ParseDay(day)
	}
	var end usage.Place
	more := false
	if err == nil {
		p.Days, end, more, err = usage.List(v.ctx(), v.s.DB, period, after, daysPerPage)
	}
	if err != nil {
		v.wrong, _ = problemOf(v.ctx(), err)
		if v.wrong.status != http.StatusBadRequest {
			return err
		}
		return v.Show(v.wrong.status, "usage", p)
	}
	if more {
		p.Next = v.with("behind", fmt.Sprintf("%s.%d", end.Day.Format(time.DateOnly), end.TenantID))
	}
	return v.Show(http.StatusOK, "usage", p)
}
