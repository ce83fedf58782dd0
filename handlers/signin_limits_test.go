package handlers

import "github.com/auroralocus/locus/internal/act"

// What holds back those who guess, as the acts have it.
const (
	pairFree        = act.PairFree
	addressFree     = act.AddressFree
	codeFree        = act.CodeFree
	codeWait        = act.CodeWait
	maxCodeWait     = act.MaxCodeWait
	forgiven        = act.Forgiven
	resetAnswerTime = act.ResetAnswerTime
)

var resetMails, codeMails = act.ResetMails, act.CodeMails
