{{- define "kakehi.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "kakehi.selector" -}}
app.kubernetes.io/name: kakehi
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "kakehi.labels" -}}
{{ include "kakehi.selector" . }}
{{ include "kakehi.releaseLabels" . }}
{{- end -}}

{{- define "kakehi.releaseLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Of what ends the release: no selector of the operator's pods takes it for one of them. */ -}}
{{- define "kakehi.withdrawLabels" -}}
app.kubernetes.io/name: kakehi-withdraw
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: withdraw
{{ include "kakehi.releaseLabels" . }}
{{- end -}}

{{- define "kakehi.withdrawHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "kakehi.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "kakehi.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "kakehi.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "kakehi.sozuImage" -}}
{{ .Values.sozuImage.repository }}:{{ default .Chart.AppVersion .Values.sozuImage.tag }}
{{- end -}}
